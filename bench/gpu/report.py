"""The figures as Markdown, one table a section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from bench.gpu.figures import Figures, Row

_LARGE = 1024
"""Rows of a batch that should fill a card."""


def whole(figures: Figures) -> Iterator[str]:
    """All sections that were run, under a line about the card."""
    yield f"Card: {figures.card}. PyTorch {torch.__version__}."
    for name in figures.sections:
        yield from section(name, figures)


def section(name: str, figures: Figures) -> Iterator[str]:
    """A heading, and the rows as a table whose columns are all keys in the order of their first row."""
    rows = figures.sections.get(name, [])
    if name == "programs":
        rows = list(_programs(rows))
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


def _programs(rows: list[Row]) -> Iterator[Row]:
    """One row for each kind of work on each model: milliseconds by rows of the batch, shares of the largest."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["precision"], row["kind"]), []).append(row)
    for (model, precision, kind), measured in groups.items():
        # What computes in float32 in either case was measured twice.
        by_rows = {row["rows"]: row for row in measured}
        least, most = by_rows[min(by_rows)], by_rows[max(by_rows)]
        found: Row = {"model": model, "precision": precision, "work": kind}
        found[f"kernel by kernel, {least['rows']} row"] = least["eager_ms"]
        for count, row in by_rows.items():
            best = min(row[way] for way in ("eager_ms", "graph_ms") if row[way] is not None)
            found[f"{count:,} row{'s' if count > 1 else ''}"] = best
        for count in (count for count in by_rows if count >= _LARGE or count == most["rows"]):
            found[f"share of the ceiling, {count:,} rows"] = by_rows[count]["share"]
        yield found


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
