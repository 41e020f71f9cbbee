"""Conformal test martingales: evidence that live items are no longer drawn as the calibrating items were.

Exchangeability of the n calibrating items and the live ones is tested by betting against it (Vovk, Nouretdinov &
Gammerman 2003, "Testing exchangeability on-line"). Nobody wins by a factor of c or more with probability above 1 / c,
at any time (Ville 1939, for non-negative martingales that start at 1):

    P(M_t >= c for any t) <= 1 / c

**The p-values.** p-values against a fixed calibration set are not independent: all of them rank among the same n items,
which are not spread exactly as their distribution says. A martingale that takes such p-values as uniform grows without
bound on ordinary items. Here a live item is ranked among the calibrating *and all earlier live* items, so that its
p-value is exactly uniform given the earlier ones, as in the paper of 2003. Only counts are needed for that. n scores,
with ties broken at random, cut the line into n + 1 cells. Under exchangeability, the parts of the live items that fall
into the cells are distributed Dirichlet(1, ..., 1), and the cell of the next item is a draw from a Pólya urn:

    urn_t(b) = (a_b + c_b) / (n + 1 + t)

with a_b the cells of a bin b of neighbouring cells and c_b how many of the t live items so far fell into it.

**The bets.** A bet on a density f of the p-value multiplies the capital by f(p_t). f is the histogram of the past
p-values (the plug-in estimator of Fedorova, Gammerman, Nouretdinov & Vovk 2012, "Plug-in martingales for testing
exchangeability on-line"). A histogram q over bins has f = q_b / urn_t(b) in bin b, so only bins matter, and a block of
items with m_b in bin b multiplies the capital of a bet by

    prod_b q_b^m_b  /  prod over its items of urn(b)

which is the same for every order of the items within the block. Cash keeps its value. Several histograms bet at once,
of several partitions of the bins and with several memories, beside cash. After block k a part 1 / (k + 1) of the whole
capital is dealt out anew (Herbster & Warmuth 1998, "Tracking the best expert"). So a change is noticed whenever it
comes, for a price of about 2 log k, and the sum stays one martingale: no restart adds a chance of a false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Where a bin ends and the next begins, as parts of the cells. Finer at the ends, where anomalies fall."""
BINS = len(LEVELS) + 1
BLOCK = 64
"""Items of a block. Within a block bets stay as they are; a total change is noticed after one or two blocks."""
MEMORIES = (100.0, 400.0, 1600.0, 6400.0)
"""Items after which a histogram has forgotten all but 1 / e: the shorter, the sooner a large change is noticed."""
PARTITIONS: tuple[tuple[float, ...], ...] = (LEVELS, (0.01,), (0.05,), (0.5,), (0.2, 0.5, 0.8), (0.05, 0.95))
"""Levels between the bins that a histogram tells apart. Few bins are learned from fewer items."""
_CAUTION = 10.0
"""Imaginary items of each bin of a histogram, spread as the urn says: how slowly a histogram believes what it sees."""
_NEAR_LOW = math.log(4)
"""How far above its least value a martingale counts as near it: without a change it wins and loses about as much."""
_CASH = 0.5
"""Part of the capital that never bets, at the start and of what is dealt out anew."""


def cells(n: int) -> Tensor:
    """The cells (BINS,) of each bin, float64, where n items calibrate. They add up to n + 1; some may be 0.

    >>> flows.anomaly.cells(99)[:4].tolist()
    [1.0, 1.0, 3.0, 5.0]
    """
    ends = [0, *(round(level * (n + 1)) for level in LEVELS), n + 1]
    return torch.tensor(ends, dtype=torch.float64).diff()


def bins_of(ranks: Tensor, n: int) -> Tensor:
    """The bin of each item, int64, from its cell, of 0 to n: the number of calibrating items before it."""
    ends = torch.tensor([round(level * (n + 1)) for level in LEVELS], dtype=torch.int64)
    return torch.searchsorted(ends, ranks.contiguous(), right=True)


class Martingales:
    """Test martingales of S series of items, each with ``cells`` (S, BINS) of its own, float64.

    ``update`` takes blocks, ``log_value`` gives the logarithm of each martingale. ``tensors`` gives all that
    ``from_tensors`` needs to go on. All of it is on the CPU.

    >>> martingales = flows.anomaly.Martingales(flows.anomaly.cells(500)[None])
    >>> ranks = torch.arange(250).repeat(6)  # of p-values below 0.5
    >>> for block in flows.anomaly.bins_of(ranks, 500).split(64):
    ...     _ = martingales.update(torch.bincount(block, minlength=flows.anomaly.BINS)[None])
    >>> bool(martingales.log_value().exp() > 100)
    True
    """

    def __init__(self, cells: Tensor) -> None:
        series = len(cells)
        self.cells = cells.double()
        """(S, BINS): the part of the urns that calibrating items make up."""
        self.counts = torch.zeros_like(self.cells)
        """(S, BINS): live items."""
        self.before = torch.zeros_like(self.cells)
        """(S, BINS): live items before the latest block after which the martingale was near ``low``."""
        self._recent = torch.zeros(series, len(MEMORIES), BINS, dtype=torch.float64)
        self._blocks = torch.zeros(series, dtype=torch.float64)
        self._capital = _log_shares().repeat(series, 1)
        self.low = torch.zeros(series, dtype=torch.float64)
        """(S,): the least logarithm so far. A change began after the martingale was last near it."""
        self.peak = torch.zeros(series, dtype=torch.float64)
        """(S,): the greatest logarithm so far."""

    @classmethod
    def from_tensors(cls, cells: Tensor, tensors: Mapping[str, Tensor]) -> Martingales:
        """From what ``tensors`` gave. Raises ValueError for a state of other series or of other bets."""
        made = cls(cells)
        for name, blank in made.tensors().items():
            found = tensors.get(name)
            if found is None or found.shape != blank.shape or found.dtype != blank.dtype:
                raise ValueError(f"the state of the martingales lacks {name} of shape {tuple(blank.shape)}")
            if name != "capital" and not bool(found.isfinite().all()):
                raise ValueError(f"the state of the martingales is not finite in {name}")
            if bool(found.isnan().any()) or (name in _COUNTS and bool((found < 0).any())):
                raise ValueError(f"the state of the martingales has impossible values in {name}")
            blank.copy_(found)
        if bool((made.counts[made.cells == 0] > 0).any()) or bool((made.before > made.counts).any()):
            raise ValueError("the state of the martingales holds counts that its cells do not allow")
        return made

    def tensors(self) -> dict[str, Tensor]:
        """The state, by name, float64."""
        return {
            "counts": self.counts,
            "before": self.before,
            "recent": self._recent,
            "blocks": self._blocks,
            "capital": self._capital,
            "low": self.low,
            "peak": self.peak,
        }

    def update(self, seen: Tensor) -> Tensor:
        """Take a block: how many items ``seen`` (S, BINS) of each series fell into each bin. A series may have none.

        Gives flags (S,) of the series whose martingale is near its least value now: up to here, nothing has changed.
        """
        seen = seen.double()
        urn = self.cells + self.counts
        size = seen.sum(dim=1)
        gain = torch.einsum("seb,sb->se", self._log_bets(urn), seen) + _log_odds(urn, seen)[:, None]
        self._capital[:, 1:] += gain
        self.counts += seen
        kept = torch.exp(-size[:, None] / _memories())
        self._recent.mul_(kept[:, :, None]).add_(seen[:, None])
        self._share(size > 0)
        value = self.log_value()
        torch.minimum(self.low, value, out=self.low)
        torch.maximum(self.peak, value, out=self.peak)
        low = (value <= self.low + _NEAR_LOW) & (size > 0)
        # The first block after a change brings the bets that were right before it to their least value.
        self.before[low] = (self.counts - seen)[low]
        return low

    def log_value(self) -> Tensor:
        """(S,): the natural logarithm of each martingale, 0 at the start."""
        return self._capital.logsumexp(dim=1)

    def expected(self) -> Tensor:
        """(S, BINS): the part of the items that belongs into each bin, as far as was known before ``since``."""
        urn = self.cells + self.before
        return urn / urn.sum(dim=1, keepdim=True)

    def since(self) -> Tensor:
        """(S, BINS): the live items since the martingale was last near its least value."""
        return self.counts - self.before

    def _log_bets(self, urn: Tensor) -> Tensor:
        """Logarithms (S, P J, BINS) of the part of its capital that each bet puts on each bin."""
        parts = urn / urn.sum(dim=1, keepdim=True)
        same = _same()
        groups = torch.einsum("pbc,sc->spb", same, parts)[:, :, None]  # (S, P, 1, BINS)
        found = torch.einsum("pbc,sjc->spjb", same, self._recent)
        total = self._recent.sum(dim=2)[:, None, :, None]
        factor = (_imaginary() * groups + found) / ((_imaginary() + total) * groups.clamp_min(1e-300))
        bets = parts[:, None, None] * factor
        # A bin without cells gets no item: what is written there is never read.
        return bets.flatten(1, 2).where(urn[:, None] > 0, torch.ones(())).log()

    def _share(self, gone: Tensor) -> None:
        """Deal out a part of the capital anew, in the series (S,) that have had a block."""
        self._blocks += gone
        part = (1 / (self._blocks + 1)).where(gone, 0.0)[:, None]
        whole = self._capital.logsumexp(dim=1, keepdim=True)
        self._capital = torch.logaddexp(self._capital + (1 - part).log(), whole + part.log() + _log_shares())

    def __repr__(self) -> str:
        return f"Martingales(series={len(self.cells)}, items={int(self.counts.sum(dim=1).max())})"


_COUNTS = ("counts", "before", "recent", "blocks")


def bonferroni(log_values: Tensor) -> float:
    """One logarithm for several martingales (S,), whose items are the same: log(max M / S).

    It reaches log c with probability at most 1 / c at any time, whatever the dependence between them.

    >>> round(flows.anomaly.bonferroni(torch.tensor([1.0, 300.0]).log()), 3)  # log 150
    5.011
    """
    return float(log_values.max()) - math.log(len(log_values))


def _log_odds(urn: Tensor, seen: Tensor) -> Tensor:
    """(S,): minus the logarithm of the probability that an urn (S, BINS) gives the items of a block, in their order."""
    most = int(seen.max()) if seen.numel() else 0
    steps = torch.arange(most, dtype=torch.float64)
    drawn = torch.where(steps < seen[..., None], urn[..., None] + steps, torch.ones(())).log().sum(dim=(1, 2))
    size = seen.sum(dim=1)
    steps = torch.arange(int(size.max()) if len(size) else 0, dtype=torch.float64)
    whole = torch.where(steps < size[:, None], urn.sum(dim=1)[:, None] + steps, torch.ones(())).log().sum(dim=1)
    return whole - drawn


# The constants below are made once, outside of inference mode, so that they can be used inside and outside of it.


@cache
@torch.inference_mode(False)
def _log_shares() -> Tensor:
    """Logarithms (E,) of the shares of the capital that the bets start with, cash first."""
    bets = len(PARTITIONS) * len(MEMORIES)
    return torch.tensor([_CASH, *[(1 - _CASH) / bets] * bets], dtype=torch.float64).log()


@cache
@torch.inference_mode(False)
def _memories() -> Tensor:
    """(J,)."""
    return torch.tensor(MEMORIES, dtype=torch.float64)


@cache
@torch.inference_mode(False)
def _imaginary() -> Tensor:
    """(P, 1, 1): the imaginary items of a histogram of each partition."""
    return _CAUTION * torch.tensor([len(levels) + 1.0 for levels in PARTITIONS], dtype=torch.float64)[:, None, None]


@cache
@torch.inference_mode(False)
def _same() -> Tensor:
    """(P, BINS, BINS): 1 where a partition does not tell two bins apart."""
    return torch.stack([_same_of(levels) for levels in PARTITIONS])


def _same_of(levels: Sequence[float]) -> Tensor:
    group = torch.tensor([0, *(level in levels for level in LEVELS)]).cumsum(dim=0)
    return (group[:, None] == group[None]).double()
