"""Prometheus' text format of several devices or replicas as one text, in which a label tells them apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping


def merged(expositions: Mapping[str, bytes], label: str = "device") -> bytes:
    """The series of every device, by the values of the label, each family under one head."""
    # A label of this name that a series has already. No value of another label holds such text.
    present = re.compile(rf'(?<=[{{,]){label}="[^"]*",?')
    families: dict[str, list[str]] = {}
    for value, exposition in expositions.items():
        for head, series in _families(exposition.decode()):
            families.setdefault(head, []).extend(
                _labelled(present.sub("", line), f'{label}="{value}"') for line in series
            )
    return "".join(head + "".join(series) for head, series in families.items()).encode()


def _families(text: str) -> Iterator[tuple[str, list[str]]]:
    """The comment lines above each family, and the lines of its series, of which there may be none."""
    head, series = "", list[str]()
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            if series or line.startswith("# HELP"):
                if head or series:
                    yield head, series
                head, series = "", []
            head += line
        else:
            series.append(line)
    if head or series:
        yield head, series


def _labelled(line: str, label: str) -> str:
    name, brace, rest = line.partition("{")
    if not brace:
        name, _, rest = line.partition(" ")
        return f"{name}{{{label}}} {rest}"
    return f"{name}{{{label}{'' if rest.startswith('}') else ','}{rest}"
