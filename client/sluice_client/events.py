"""Server-sent events, as the service streams them while an inpainting runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sluice_client.errors import UnreadableAnswer

_END = re.compile(r"\r\n|\r|\n")


class Event(NamedTuple):
    """One event: its name and its JSON."""

    name: str
    data: dict[str, Any]


class EventReader:
    """Makes events of the text of a stream. Comments, which keep a connection open, are passed over.

    Lines end as the format says (HTML Living Standard, 9.2.6), at CR and LF alone: what else Unicode calls an end of a
    line may be in a word of a table.
    """

    def __init__(self) -> None:
        self._name, self._data = "message", list[str]()
        self._begun: list[str] = []
        """The beginning of a line that has not ended, piece by piece."""
        self._returned = False
        """Whether the text so far ends in a CR, to which an LF may belong."""

    def feed(self, text: str) -> Iterator[Event]:
        """The events that end in this text. Raises UnreadableAnswer for data that are no JSON object."""
        if self._returned:
            text = text.removeprefix("\n")
        self._returned = text.endswith("\r")
        self._begun.append(text)
        if not _END.search(text):
            return
        *lines, last = _END.split("".join(self._begun))
        self._begun = [last]
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                self._name = value
            elif field == "data":
                self._data.append(value)
            return None
        name, data, self._name, self._data = self._name, "\n".join(self._data), "message", []
        if not data:
            return None
        try:
            document = json.loads(data)
        except ValueError as error:
            raise UnreadableAnswer("an event of the inpainting is no JSON") from error
        if not isinstance(document, dict):
            raise UnreadableAnswer("an event of the inpainting is no JSON object")
        return Event(name, document)
