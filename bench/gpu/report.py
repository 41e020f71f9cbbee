"""The figures as Markdown, one table a section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from bench.gpu.figures import Figures


def whole(figures: Figures) -> Iterator[str]:
    """All sections that were run, under a line about the card."""
    yield f"Card: {figures.card}. PyTorch {torch.__version__}."
    for name in figures.sections:
        yield from section(name, figures)


def section(name: str, figures: Figures) -> Iterator[str]:
    """A heading, and the rows as a table whose columns are all keys in the order of their first row."""
    rows = figures.sections.get(name, [])
    columns = list(dict.fromkeys(key for row in rows for key in row))
    yield ""
    yield f"### {name.capitalize()}"
    yield ""
    if not rows:
        yield "Nothing was measured."
        return
    yield "| " + " | ".join(column.replace("_", " ") for column in columns) + " |"
    yield "|" + " --- |" * len(columns)
    for row in rows:
        yield "| " + " | ".join(_shown(row.get(column)) for column in columns) + " |"


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if value == 0 or 0.001 <= abs(value) < 100_000:
            return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        case float():
            return f"{value:.2e}"
        case list() | tuple():
            return ", ".join(f"({_shown(each)})" if isinstance(each, list) else _shown(each) for each in value)
        case _:
            return str(value)
