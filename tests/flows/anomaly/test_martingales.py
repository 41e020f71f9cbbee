"""Test martingales: fair on ordinary items, however few calibrate, and quick to notice a change."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from flows.anomaly import BINS, BLOCK, LEVELS, Martingales, bins_of, cells

ALARM = math.log(100)


def streams(count: int, n: int, length: int, change: Callable[[Tensor], Tensor] | None = None, at: int = 0) -> Tensor:
    """Bins (length, count) of items among n calibrating ones, anew for each stream; from ``at`` on they are changed."""
    generator = torch.Generator().manual_seed(7)
    calibrating = torch.rand(count, n, generator=generator).sort(dim=1).values
    live = torch.rand(count, length, generator=generator)
    if change is not None:
        live[:, at:] = change(live[:, at:])
    return bins_of(torch.searchsorted(calibrating, live), n).T


def counts(bins: Tensor) -> Tensor:
    """How many (S, BINS) of the items of a block (B, S) fell into each bin."""
    return torch.nn.functional.one_hot(bins, BINS).sum(dim=0)


def run(martingales: Martingales, bins: Tensor) -> Tensor:
    """The items after which each series first reached the alarm; infinite where none did."""
    reached = torch.full((bins.shape[1],), math.inf)
    for place, block in enumerate(torch.split(bins, BLOCK)):
        martingales.update(counts(block))
        new = (martingales.log_value() >= ALARM) & reached.isinf()
        reached[new] = (place + 1) * BLOCK
    return reached


def test_the_bins_share_the_cells_as_the_levels_say() -> None:
    each = cells(999)
    assert each.sum() == 1000
    assert torch.equal(each.cumsum(0)[:-1] / 1000, torch.tensor(LEVELS, dtype=torch.float64))
    every = bins_of(torch.arange(1000), 999)
    assert torch.equal(torch.bincount(every, minlength=BINS).double(), each)
    assert cells(20).sum() == 21


@pytest.mark.parametrize("n", [20, 300])
def test_the_expectation_after_the_next_items_is_the_value_now(n: int) -> None:
    """Exactly, over all bins that the next two items may fall into, whatever came before."""
    before = Martingales(cells(n)[None])
    for block in torch.split(streams(1, n, 192, lambda live: live**2), BLOCK):
        before.update(counts(block))
    now, expected, probability = before.log_value().exp(), 0.0, 0.0
    urn = (before.cells + before.counts)[0]
    for first in range(BINS):
        for second in range(BINS):
            grown = urn.clone()
            grown[first] += 1
            chance = float(urn[first] / urn.sum() * grown[second] / grown.sum())
            if chance:
                after = Martingales.from_tensors(before.cells, before.tensors())
                after.update(counts(torch.tensor([[first], [second]])))
                expected, probability = expected + chance * float(after.log_value().exp()), probability + chance
    assert probability == pytest.approx(1)
    assert expected == pytest.approx(float(now), rel=1e-9)


def test_ordinary_items_raise_no_alarm_even_where_few_calibrate() -> None:
    bins = streams(50, 50, 6400)
    assert int(run(Martingales(cells(50).repeat(50, 1)), bins).isfinite().sum()) <= 1
    # The same bets against p-values that are taken as uniform: what the urns are for.
    certain = cells(50).repeat(50, 1) * 1e9
    assert int(run(Martingales(certain), bins).isfinite().sum()) >= 40


@pytest.mark.parametrize(
    ("change", "within"),
    [
        (lambda live: torch.where(torch.rand(live.shape) < 0.02, 0.0, live), 6400),
        (lambda live: live**1.4, 3200),
        (lambda live: 0.5 + (live - 0.5) * 0.7, 3200),
        (torch.zeros_like, 2 * BLOCK),
    ],
    ids=["two in a hundred are foreign", "all are a little stranger", "all are more typical", "all are foreign"],
)
def test_a_change_is_noticed_and_dated(change: Callable[[Tensor], Tensor], within: int) -> None:
    at = 3200
    torch.manual_seed(0)
    martingales = Martingales(cells(1000).repeat(10, 1))
    reached = run(martingales, streams(10, 1000, at + within, change, at))
    assert bool((reached > at).all())
    assert int(reached.isfinite().sum()) >= 9
    began = martingales.before.sum(dim=1)
    assert float((began - at).abs().median()) <= 960
    assert torch.equal(martingales.since() + martingales.before, martingales.counts)


def test_a_change_is_seen_in_what_came_since_beside_what_was_expected() -> None:
    martingales = Martingales(cells(500)[None])
    run(martingales, streams(1, 500, 1600, lambda live: live * 0.05, 800))
    since = martingales.since()[0] / martingales.since().sum()
    assert since[:3].sum() > 0.8
    assert martingales.expected()[0, :3].sum() < 0.12


def test_a_state_that_is_read_again_goes_on_as_if_nothing_had_happened() -> None:
    bins = streams(3, 200, 1280, lambda live: live**1.2, 640)
    one = Martingales(cells(200).repeat(3, 1))
    run(one, bins[:640])
    other = Martingales.from_tensors(one.cells, {name: each.clone() for name, each in one.tensors().items()})
    run(one, bins[640:])
    run(other, bins[640:])
    assert all(torch.equal(each, other.tensors()[name]) for name, each in one.tensors().items())


@pytest.mark.parametrize(
    "change",
    [
        {"counts": torch.full((1, BINS), -1.0).double()},
        {"low": torch.tensor([math.nan]).double()},
        {"capital": torch.zeros(1, 3).double()},
        {"recent": None},
        {"before": torch.full((1, BINS), 5.0).double()},
    ],
    ids=["negative", "NaN", "another shape", "missing", "more before than in all"],
)
def test_a_damaged_state_is_refused(change: dict[str, Tensor | None]) -> None:
    made = Martingales(cells(99)[None])
    state = {name: each for name, each in {**made.tensors(), **change}.items() if each is not None}
    with pytest.raises(ValueError, match="state of the martingales"):
        Martingales.from_tensors(made.cells, state)


def test_series_without_items_in_a_block_stay_as_they_are() -> None:
    martingales = Martingales(cells(99).repeat(2, 1))
    seen = counts(streams(2, 99, BLOCK))
    seen[1] = 0
    martingales.update(seen)
    assert martingales.log_value()[1] == pytest.approx(0, abs=1e-12)
    assert martingales.log_value()[0] != 0
