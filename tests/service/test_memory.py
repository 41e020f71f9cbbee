"""What lives as long as the service is looked through for cycles once."""

from __future__ import annotations

import gc

from service import memory


def test_what_is_settled_is_passed_over_and_what_nobody_needs_is_let_go() -> None:
    class Ring:
        freed = False

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Ring.freed = True

    Ring()
    try:
        memory.settle()
        assert Ring.freed
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
