"""What the training loop calls while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trainer.run.display import Display, Several


def _nothing() -> None:
    pass


def _silent(_text: str) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Callbacks of the training loop. The defaults train silently, keep nothing on disk and never stop early."""

    save: Callable[[], None] = _nothing
    """Called after every epoch, and when a run is stopped."""
    say: Callable[[str], None] = _silent
    """Told in a line what the user should know before the first step."""
    display: Display = field(default_factory=lambda: Several(()))
    stop_requested: Callable[[], bool] = _never
    """Asked after every step. When it says yes the state is saved and the loop ends."""
