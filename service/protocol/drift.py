"""What a device says of the drift of live items, as plain data."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Sort = Literal["verdict", "test", "column"]

ALARM = 100.0
"""Evidence from which on a change is reported. Ordinary items reach it with a probability of at most 1 / 100, ever."""


class SeriesDrift(Struct, frozen=True):
    """One series of a model's live items: their combined p-values, those of one test, or the values of one column."""

    sort: Sort
    name: str
    """Of the test or of the column; `all tests` of the verdict."""
    log10_evidence: float
    """Of the test martingale: log10 of the factor that bets against "as calibrated" have won."""
    peak: float
    """The most that it has been."""
    items: int
    since: str | None
    """When the change began, as far as the martingale tells: the moment of its least value. None before any item."""
    since_items: int
    """Items since then."""
    shares: tuple[float, ...]
    """Part of the items since then in each bin, by ``levels``; empty where there are none."""
    expected: tuple[float, ...]
    """Part of them that was expected there."""
    edges: tuple[float, ...] = ()
    """Of a column: the values between its bins, in the units of the vector's entry."""


class KeyDrift(Struct, frozen=True):
    """The live items of one API key, or of all requests together."""

    key: str
    """`` of all requests."""
    log10_evidence: float
    """Of all series together: the largest, less what looking at so many costs."""
    items: int
    began: str
    """When the first item was watched."""
    series: tuple[SeriesDrift, ...]


class ModelDrift(Struct, frozen=True):
    """What one device has seen of one model."""

    model: str
    keys: tuple[KeyDrift, ...]
    """All requests first; none before a block of items has been scored."""
    levels: tuple[float, ...]
    """Where a bin ends and the next begins: p-values, or parts of the calibrating rows below a column's value."""
    columns_watched: bool
    """Whether columns are watched: of a table whose calibration keeps rows."""
