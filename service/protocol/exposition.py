"""Prometheus' text format of several devices as one text, in which the label ``device`` tells them apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_DEVICE = re.compile(r'(?<=[{,])device="[^"]*",?')
"""A label of this name that a series has already. No value of another label holds such text."""


def merged(expositions: Mapping[str, bytes]) -> bytes:
    """The series of every device, by the devices' names, each family under one head."""
    families: dict[str, list[str]] = {}
    for device, exposition in expositions.items():
        for head, series in _families(exposition.decode()):
            families.setdefault(head, []).extend(_labelled(line, device) for line in series)
    return "".join(head + "".join(series) for head, series in families.items()).encode()


def _families(text: str) -> Iterator[tuple[str, list[str]]]:
    """The comment lines above each family, and the lines of its series."""
    head, series = "", list[str]()
    for line in text.splitlines(keepends=True):
        if line.startswith("#") and series:
            yield head, series
            head, series = "", []
        if line.startswith("#"):
            head += line
        else:
            series.append(line)
    if head or series:
        yield head, series


def _labelled(line: str, device: str) -> str:
    name, brace, rest = line.partition("{")
    if not brace:
        name, _, rest = line.partition(" ")
        return f'{name}{{device="{device}"}} {rest}'
    labels = _DEVICE.sub("", f"{{{rest}")[1:]
    return f'{name}{{device="{device}"{"" if labels.startswith("}") else ","}{labels}'
