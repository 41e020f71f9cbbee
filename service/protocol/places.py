"""Where the latest tasks were found: what is remembered of a bounded number of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Holder = TypeVar("Holder")

_REMEMBERED = 1000


class Places(OrderedDict[str, Holder], Generic[Holder]):
    """Who holds a task, by the task's id, of the last thousand. Any other task is looked for everywhere."""

    def remember(self, task: str, holder: Holder) -> None:
        """Note who holds a task, and forget the tasks that were noted longest ago."""
        self[task] = holder
        self.move_to_end(task)
        while len(self) > _REMEMBERED:
            self.popitem(last=False)
