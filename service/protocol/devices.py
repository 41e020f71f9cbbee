"""What an api process asks of the devices behind it. A route does not know whether there is one or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from service.protocol import messages as m
from service.protocol.client import Stream
from service.protocol.model_info import Catalogue
from service.protocol.queue import Queue


class Devices(Protocol):
    """A ``DeviceClient`` or a ``Fleet`` of them. Belongs to one event loop."""

    @property
    def catalogue(self) -> Catalogue:
        """The models that can be asked for."""

    @property
    def queue(self) -> Queue:
        """Admits work."""

    @property
    def alive(self) -> bool:
        """Whether a device answers."""

    @property
    def lost(self) -> bool:
        """Whether a device answered once and none does now."""

    @property
    def failed(self) -> bool:
        """Whether every device is dead for good."""

    @property
    def up(self) -> Mapping[str, bool]:
        """Whether each device answers, by name."""

    async def start(self) -> None:
        """Connect. Returns at once; the catalogue follows."""

    def dismiss(self) -> None:
        """What still waits fails: the service ends."""

    async def stop(self) -> None:
        """End the connections; what still waits fails."""

    async def catch_up(self) -> None:
        """Wait until all is known here that the devices had told anybody when this was called."""

    async def ask(self, make: Callable[[int], m.Request]) -> Any:
        """Send the message that ``make`` builds from a fresh number and wait for its answer.

        Cancelling the wait drops the work. Raises the Problem that ended the request.
        """

    def stream(self, make: Callable[[int], m.Request]) -> Stream:
        """Send the message that ``make`` builds; its answer is several messages: snapshots, then the end."""
