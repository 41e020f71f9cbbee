"""Scores as a table: a row an item, a column for each figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from sluice_client.npy import Array

_SHOWN = 10
_NUMBERS = ("log_likelihood", "bits_per_dim", "p_value")
_MAIN = ("log_likelihood", "bits_per_dim", "p_value", "anomalous", "discovery", "reason")


class Scores:
    """What `/score` tells of N items, in the order sent.

    ``columns`` are arrays (N,) by name: `log_likelihood`, `bits_per_dim`, `p_value`, `anomalous`, `discovery`, where
    they were asked for `regions`, `reason`, `contributions`, then `p_value_<test>` and `<test>.<statistic>` for each
    test of a calibrated model. Regions and contributions are lists of dictionaries, an item's each. A figure that the
    service does not tell is NaN, or None in a column of anything but numbers: regions too, where no p-value can be as
    small as alpha.
    """

    def __init__(
        self,
        model: str,
        columns: Mapping[str, Array],
        *,
        calibrated: bool,
        alpha: float,
        groups: Sequence[Mapping[str, Any]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.model, self.columns, self.calibrated, self.alpha = model, dict(columns), calibrated, alpha
        self.groups = list(groups)
        """The verdict on the items of each request together; one for a batch that needed no second request."""
        self.notes = list(dict.fromkeys(notes))
        """What the service says of the items, such as pictures of another scale than those that p-values rest on."""

    @property
    def log_likelihood(self) -> Array:
        """Nats an item (N,)."""
        return self.columns["log_likelihood"]

    @property
    def bits_per_dim(self) -> Array:
        """Of images (N,); NaN for vectors."""
        return self.columns["bits_per_dim"]

    @property
    def p_value(self) -> Array:
        """The share of ordinary items at least as strange (N,); NaN without calibration."""
        return self.columns["p_value"]

    @property
    def anomalous(self) -> Array:
        """Whether the p-value is at most ``alpha`` (N,); None without calibration."""
        return self.columns["anomalous"]

    def __len__(self) -> int:
        return len(self.columns["log_likelihood"])

    def __getitem__(self, key: Any) -> Any:
        """A column by its name, the figures of one item by its place, or the rows that a slice or an array selects."""
        if isinstance(key, str):
            return self.columns[key]
        if isinstance(key, int | np.integer):
            return {name: _plain(column[key]) for name, column in self.columns.items()}
        chosen = {name: column[key] for name, column in self.columns.items()}
        return Scores(self.model, chosen, calibrated=self.calibrated, alpha=self.alpha)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))

    def to_dict(self) -> dict[str, Array]:
        """The columns by name."""
        return dict(self.columns)

    def to_pandas(self) -> Any:
        """A pandas DataFrame. pandas must be installed."""
        import pandas

        return pandas.DataFrame(self.columns)

    def __repr__(self) -> str:
        names = self._told()
        rows = [[_text(self.columns[name][row]) for name in names] for row in range(min(len(self), _SHOWN))]
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        lines = [
            "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in (names, *rows)
        ]
        if len(self) > _SHOWN:
            lines.append(f"… {len(self) - _SHOWN:,} more")
        return "\n".join([self._title(), *lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        names = self._told()
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(self.columns[name][row]))}</td>" for name in names) + "</tr>"
            for row in range(min(len(self), _SHOWN))
        )
        more = f"<p>… {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<p>{escape(self._title())}</p><table><tr>{head}</tr>{body}</table>{more}{notes}"

    def _title(self) -> str:
        title = f"Scores({self.model}, {len(self):,} items"
        if self.calibrated and len(self):
            title += f", {int(np.sum(self.anomalous == True)):,} anomalous at {self.alpha:g}"  # noqa: E712
        return title + ")"

    def _told(self) -> list[str]:
        """The main columns that say anything."""
        return [name for name in _MAIN if name in self.columns and not all(map(_silent, self.columns[name][:_SHOWN]))]


def columns_of(items: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """The columns of the documents of items, at least one, which all have the same members."""
    columns: dict[str, Array] = {}
    for name in items[0]:
        values = [item[name] for item in items]
        if name == "tests":
            for test in values[0]:
                results = [value[test] for value in values]
                columns[f"p_value_{test}"] = _column([result["p_value"] for result in results])
                told = [result["statistics"] for result in results]
                for statistic in told[0]:
                    columns[f"{test}.{statistic}"] = _column([one[statistic] for one in told])
        else:
            columns[name] = np.array(values, np.float64) if name in _NUMBERS else _column(values)
    return columns


def joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The columns of several parts, one after another."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def benjamini_hochberg(p_values: Array, rate: float) -> Array:
    """Which of N p-values Benjamini and Hochberg's procedure (1995) flags at a rate of false discoveries."""
    order = np.argsort(p_values)
    # p-values are fractions that meet the bound exactly, and rounding is not to decide: so does the service.
    allowed = rate * np.arange(1, len(p_values) + 1) / len(p_values) * (1 + 4 * np.finfo(np.float64).eps)
    passes = p_values[order] <= allowed
    flags = np.zeros(len(p_values), dtype=bool)
    if passes.any():
        flags[order[: int(np.flatnonzero(passes)[-1]) + 1]] = True
    return flags


def _column(values: list[Any]) -> Array:
    """Numbers as float64 with NaN for None; truth values as bool; anything else as objects."""
    kind = type(next((value for value in values if value is not None), None))
    if kind in (int, float):
        return np.array(values, dtype=np.float64)
    if kind is bool and None not in values:
        return np.array(values, dtype=bool)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _silent(value: Any) -> bool:
    return value is None or value != value


def _plain(value: Any) -> Any:
    """A number of numpy's as one of Python's, and NaN as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if value != value else value


def _text(value: Any) -> str:
    if _silent(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
