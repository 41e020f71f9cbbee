"""Words for what has moved in a model's live items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from service.protocol.drift import ALARM, KeyDrift, ModelDrift, SeriesDrift
from tables import Schema
from tables.cells import cell_of
from tables.schema import CATEGORY, TIME

ALARM_LOG10 = math.log10(ALARM)
_CLEAR_MOVE = 0.02
"""How far the mean place of items, from 0 to 1, must have moved to be told as a direction."""


class Together(NamedTuple):
    """One key's items on all devices: the most evidence of any, less what looking at so many devices costs."""

    most: KeyDrift
    log10_evidence: float
    items: int
    devices: int

    def of(self, series: SeriesDrift) -> float:
        """log10 of the evidence of one series, likewise."""
        return series.log10_evidence - math.log10(self.devices)


def together(found: Sequence[ModelDrift]) -> list[Together]:
    """The keys that the devices have seen, all requests first.

    Each device watches the items that it gets by martingales of its own. The largest of D martingales, divided by D,
    reaches c with probability at most 1 / c.
    """
    keys = {each.key: None for drift in found for each in drift.keys}
    result = []
    for key in sorted(keys):
        mine = [each for drift in found for each in drift.keys if each.key == key]
        most = max(mine, key=lambda each: each.log10_evidence)
        total = sum(each.items for each in mine)
        result.append(Together(most, most.log10_evidence - math.log10(len(found)), total, len(found)))
    return result


def summary(key: Together) -> str:
    """One sentence on whether anything has moved."""
    items = f"{key.items:,} items since {key.most.began}"
    if key.log10_evidence >= ALARM_LOG10:
        return f"The items have changed. Evidence from {items}: {_factor(key.log10_evidence)}; 100 is enough."
    return (
        f"No change is proved: {items} give evidence of {_factor(key.log10_evidence)}, where 100 would be enough. "
        "Items like the calibrating ones reach 100 with a probability of at most 1 in 100, however many there are."
    )


def moved(key: Together, levels: Sequence[float], table: Schema | None) -> list[str]:
    """A sentence for each series that has changed beyond doubt, the clearest first. Where none has, the clearest."""
    ranked = sorted(key.most.series, key=key.of, reverse=True)
    clear = [each for each in ranked if key.of(each) >= ALARM_LOG10]
    if not clear and key.log10_evidence >= ALARM_LOG10:
        clear = ranked[:1]
    return [_sentence(each, levels, table) for each in clear if each.shares]


def _sentence(series: SeriesDrift, levels: Sequence[float], table: Schema | None) -> str:
    seen, expected = list(accumulate(series.shares))[:-1], list(accumulate(series.expected))[:-1]
    cut = max(range(len(levels)), key=lambda place: _divergence(seen[place], expected[place]))
    when = f"among the {series.since_items:,} items since {series.since}"
    side, part, usual = "at most", seen[cut], expected[cut]
    if levels[cut] > 0.5:  # of the smaller part a change is easier to see
        side, part, usual = "above", 1 - part, 1 - usual
    shares = f"where {_percent(usual)} were expected, {when}."
    if series.sort == "column":
        edge = _value(series.name, series.edges[cut], table)
        return f"Column {series.name}: values are {_direction(series)}. {_percent(part)} are {side} {edge}, {shares}"
    whose = "of all tests together" if series.sort == "verdict" else f"of the test {series.name}"
    stranger = "stranger" if seen[cut] > expected[cut] else "more typical"
    return (
        f"By the p-values {whose}, items are {stranger} than the calibrating ones: {_percent(part)} are {side} "
        f"{levels[cut]:g}, {shares}"
    )


def _direction(series: SeriesDrift) -> str:
    """Where the values of a column have gone."""
    middles = [end - share / 2 for end, share in zip(accumulate(series.expected), series.expected, strict=True)]
    move = sum(middle * (new - old) for middle, new, old in zip(middles, series.shares, series.expected, strict=True))
    if abs(move) >= _CLEAR_MOVE:
        return "larger" if move > 0 else "smaller"
    spread = sum(
        (middle - 0.5) ** 2 * (new - old)
        for middle, new, old in zip(middles, series.shares, series.expected, strict=True)
    )
    return "more spread out" if spread > 0 else "closer together"


def _value(column: str, entry: float, table: Schema | None) -> str:
    """An entry of the vector as the user writes it."""
    found = next((each for each in table.columns if each.name == column), None) if table is not None else None
    if found is None or not math.isfinite(entry):
        return f"{entry:g}"
    number = entry + found.offset
    if found.kind == CATEGORY and 0 <= round(number) < len(found.categories):
        return f"the category {found.categories[round(number)]!r} or one before it"
    return str(cell_of(found, number)) if found.kind == TIME else f"{number:.6g}"


def _divergence(share: float, expected: float) -> float:
    """How surprising it is, per item, that an event of an expected share has another one (Kullback & Leibler)."""
    if not 0 < expected < 1:
        return 0.0
    parts = ((share, expected), (1 - share, 1 - expected))
    return sum(seen * math.log(seen / old) for seen, old in parts if seen > 0)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _factor(log10: float) -> str:
    """The evidence as a factor that can be read."""
    return f"{10**log10:.2g}" if log10 < 4 else f"10^{log10:.0f}"
