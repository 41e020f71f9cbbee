"""Sentences about drift."""

from __future__ import annotations

import re

import pytest

from flows.anomaly import LEVELS
from service.api.drift_words import moved, summary, together
from service.protocol.drift import KeyDrift, ModelDrift, SeriesDrift, Sort
from tables import Column, Schema

EXPECTED = tuple(end - start for start, end in zip((0, *LEVELS), (*LEVELS, 1), strict=True))
SCHEMA = Schema(
    (
        Column("price", "continuous", offset=100.0, low=100.0, high=200.0),
        Column("colour", "category", resolution=1.0, high=2.0, categories=("blue", "green", "red")),
    )
)
EDGES = tuple(float(place) for place in range(len(LEVELS)))


def shares(low: float) -> tuple[float, ...]:
    """Shares of which so much lies below the middle, spread as expected on either side."""
    return tuple(2 * share * (low if place < 8 else 1 - low) for place, share in enumerate(EXPECTED))


def tails(low: float, high: float) -> tuple[float, ...]:
    """Shares with so much in the first and in the last bin."""
    return (low, *(share * (1 - low - high) / 0.98 for share in EXPECTED[1:-1]), high)


def drift(sort: Sort, name: str, seen: tuple[float, ...], log10: float = 5.0, model: str = "m@1") -> ModelDrift:
    series = SeriesDrift(sort, name, log10, log10, 900, "2026-01-02T03:04:05+00:00", 640, seen, EXPECTED, EDGES)
    return ModelDrift(model, (KeyDrift("", log10 - 1, 900, "2026-01-01T00:00:00+00:00", (series,)),), LEVELS, True)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            drift("verdict", "all tests", shares(0.7)),
            "By the p-values of all tests together, items are stranger than the calibrating ones: 70.0 % are at most "
            "0.5, where 50.0 % were expected, among the 640 items since 2026-01-02T03:04:05+00:00.",
        ),
        (
            drift("test", "layout", tails(0.01, 0.0)),
            "By the p-values of the test layout, items are stranger than the calibrating ones: 0.0 % are above 0.99,",
        ),
        (drift("column", "price", shares(0.3)), "Column price: values are larger. 30.0 % are at most 107, where 50"),
        (drift("column", "price", shares(0.8)), "Column price: values are smaller. 80.0 % are at most 107,"),
        (drift("column", "price", tails(0.04, 0.04)), "Column price: values are more spread out."),
        (drift("column", "price", tails(0.0, 0.0)), "Column price: values are closer together."),
    ],
)  # fmt: skip
def test_what_moved_is_told_with_its_direction_and_its_moment(found: ModelDrift, words: str) -> None:
    [key] = together([found])
    [sentence] = moved(key, LEVELS, SCHEMA)
    assert sentence.startswith(words)


def test_a_category_is_told_by_its_word() -> None:
    [key] = together([drift("column", "colour", tails(0.5, 0.01))])
    [sentence] = moved(key, LEVELS, SCHEMA)
    assert "50.0 % are at most the category 'blue' or one before it" in sentence


def test_a_day_is_told_as_a_date() -> None:
    column = Column("sold", "time", 19_000.0, 1.0, 19_000.0, 19_900.0, unit="day")
    found = drift("column", "sold", tails(0.5, 0.01))
    [sentence] = moved(together([found])[0], LEVELS, Schema((column, *SCHEMA.columns)))
    assert re.search(r"50\.0 % are at most 2022-\d\d-\d\d,", sentence), sentence


def test_several_devices_cost_what_looking_at_several_costs() -> None:
    calm, changed = drift("test", "layout", EXPECTED, 0.0), drift("test", "layout", shares(0.7), 3.2)
    [key] = together([calm, changed])
    assert key.items == 1800
    assert key.log10_evidence == pytest.approx(2.2 - 0.30103)
    assert summary(key).startswith("No change is proved: 1,800 items")
    [alone] = together([changed])
    assert summary(alone).startswith("The items have changed. Evidence from 900 items")
