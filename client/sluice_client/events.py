"""Server-sent events, as the service streams them while an inpainting runs."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sluice_client.errors import UnreadableAnswer


class Event(NamedTuple):
    """One event: its name and its JSON."""

    name: str
    data: dict[str, Any]


class EventReader:
    """Makes events of lines without their ends. Comments, which keep a connection open, are passed over."""

    def __init__(self) -> None:
        self._name, self._data = "message", ""

    def feed(self, line: str) -> Event | None:
        """The event that a line ends, if it ends one. Raises UnreadableAnswer for data that are no JSON object."""
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                self._name = value
            elif field == "data":
                self._data += value
            return None
        name, data, self._name, self._data = self._name, self._data, "message", ""
        if not data:
            return None
        try:
            document = json.loads(data)
        except ValueError as error:
            raise UnreadableAnswer("an event of the inpainting is no JSON") from error
        if not isinstance(document, dict):
            raise UnreadableAnswer("an event of the inpainting is no JSON object")
        return Event(name, document)
