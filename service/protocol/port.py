"""The device's end of the connection to its clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from service.protocol import messages as m


class Port(ABC):
    """Takes the messages of all clients and sends answers. Used by the device's loop alone, except ``wake``."""

    @abstractmethod
    def receive(self, wait: float) -> Sequence[tuple[str, m.Up]]:
        """All messages that are there, each with its client's name; waits up to ``wait`` seconds for the first."""

    @abstractmethod
    def send(self, peer: str, messages: Sequence[m.Down]) -> None:
        """Send messages to one client; a client that is gone is no error."""

    @abstractmethod
    def wake(self) -> None:
        """End a ``receive`` that waits. Any thread may call it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""
