"""Cross-conformal p-values of table rows, for which every row calibrates though few rows there are.

The rows are dealt into K folds. Member k of the calibration has a flow, a mixture and neighbours that know nothing of
fold k.
With s_k the nonconformity score of member k, and k(i) the fold of row i, the p-value of an item x is

    p(x) = (1 + #{i : s_k(i)(row i) >= s_k(i)(x)}) / (n + 1)

(Vovk 2015, "Cross-conformal predictors", equation 3; Barber et al. 2021, "Predictive inference with the jackknife+",
section 3.3 calls the same comparison CV+). If x is drawn as the rows were, P(p(x) <= alpha) is at most
2 alpha + (1 - K / n) / (K + 1) for any score (Barber et al. 2021, theorem 4, with alpha the level of the p-value), and
close to alpha, or below, for scores that change little when a few rows are left out; docs/tables.md measures it.

With one member, whose rows to judge were held out from training, this is the split-conformal p-value, whose bound is
alpha itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from flows.anomaly.calibration import Assessment, GroupVerdict, Verdict, group_verdicts, precision_of
from flows.anomaly.contributions import Contributions, contributions
from flows.anomaly.members import Member, finite, raw_scores, row_tests
from flows.anomaly.mixture import Mixture
from flows.anomaly.neighbours import Neighbours
from flows.flow import Flow

KEPT_ROWS = 2000
"""Rows that are kept as neighbours at most."""
GRID = 33
"""Values of each column for the contributions, at most."""
LEAST_ROWS = 10
"""With fewer, no fold of five would have two rows, and no p-value could reach 0.1."""
_BATCH = 512
UNSEEN = -1
"""The fold of a row that calibrates nothing and may be a neighbour for every member."""


class CrossCalibration:
    """Members, and the test scores (n, T) of n rows, each under the member that knows nothing of it.

    ``folds`` (n,) tells for each calibrating row which member that is. ``kept`` (M, D) are the rows among which
    neighbours are sought; ``kept_folds`` (M,) tells which member must not see each of them. ``grid`` (D, S) are
    quantiles of each column. Raises ValueError for tensors of the wrong shape.

    >>> rows = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    >>> flow = flows.nice((2,), image=False, hidden=[4]).eval()
    >>> folds = torch.arange(60) % 5
    >>> calibration = flows.anomaly.CrossCalibration.of([flow] * 5, rows, folds)
    >>> calibration
    CrossCalibration(members=5, kept=60, held_out=60)
    >>> verdict = calibration.judge(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    >>> verdict.p_value <= 0.05
    tensor([False,  True])
    """

    def __init__(
        self,
        members: Sequence[Member],
        scores: Tensor,
        folds: Tensor,
        kept: Tensor,
        kept_folds: Tensor,
        grid: Tensor,
        log_likelihoods: Tensor,
    ) -> None:
        self.members, self.folds, self.kept, self.kept_folds = list(members), folds, kept, kept_folds
        self.grid, self.log_likelihoods = grid, log_likelihoods
        self.neighbours = bool(len(kept))
        self.tests = row_tests(self.neighbours, members[0].mixture is not None)
        if scores.ndim != 2 or scores.shape[1] != len(self.tests) or len(scores) < LEAST_ROWS:
            raise ValueError(
                f"a cross-conformal calibration needs scores of at least {LEAST_ROWS} rows in {len(self.tests)} tests, "
                f"got {tuple(scores.shape)}"
            )
        if (
            log_likelihoods.shape != folds.shape
            or folds.shape != scores.shape[:1]
            or set(folds.tolist()) - set(range(len(self.members)))
        ):
            raise ValueError("each calibrating row needs the number of the member that judges it")
        device = members[0].flow.device
        self.scores = scores.double().to(device)
        folds = folds.to(device)
        with_combined = torch.cat([self.scores, self.scores.sum(dim=1, keepdim=True)], dim=1)
        self._sorted = [with_combined[folds == k].T.sort(dim=1).values.contiguous() for k in range(len(self.members))]
        quantiles = torch.arange(1, 2 * self.size + 2, device=device).double() / (2 * (self.size + 1))
        self._normal_score_of = torch.special.ndtri(quantiles)
        pooled = self.scores.T.sort(dim=1).values.contiguous()
        values = self.scores.T.contiguous()
        ranks = torch.searchsorted(pooled, values) + torch.searchsorted(pooled, values, right=True)
        self._precision = precision_of(self._normal_score_of[ranks].T.cpu())

    @classmethod
    @torch.no_grad()
    def of(
        cls, flows: Sequence[Flow], rows: Tensor, folds: Tensor, neighbours: bool = True, kept: int = KEPT_ROWS
    ) -> CrossCalibration:
        """From one flow for each fold and rows (N, D), continuous, in random order.

        ``folds`` (N,) holds the fold of each row, or ``UNSEEN`` for a row that calibrates nothing. The flow of a fold
        must not have been trained on the fold's rows, nor its epoch chosen by them. The first ``kept`` rows, those
        that calibrate nothing before the others, are kept as neighbours.
        """
        order = (folds != UNSEEN).int().argsort(stable=True)
        chosen = order[:kept]
        near, near_folds = rows[chosen].float().cpu(), folds[chosen]
        members, likelihoods = [], torch.zeros(len(rows), dtype=torch.float64)
        scores = torch.zeros(len(rows), len(row_tests(neighbours)), dtype=torch.float64)
        for k, flow in enumerate(flows):
            member = Member.of(flow, near[near_folds != k].to(flow.device), neighbours)
            members.append(member)
            for part in torch.split((folds == k).nonzero().flatten(), _BATCH):
                raw = member.raw(rows[part].to(flow.device))
                scores[part], likelihoods[part] = member.test_scores(raw).T.cpu(), -raw[0].cpu()
        mine = folds != UNSEEN
        if not neighbours:
            near, near_folds = near[:0], near_folds[:0]
        return cls(
            members, scores[mine].float(), folds[mine], near, near_folds, grid_of(rows), likelihoods[mine].float()
        )

    @classmethod
    def from_tensors(cls, flows: Sequence[Flow], tensors: Mapping[str, Tensor]) -> CrossCalibration:
        """From what ``tensors`` gave and the members' flows. Raises ValueError, and KeyError for a missing tensor."""
        kept, kept_folds, folds = tensors["kept"], tensors["kept_folds"].long(), tensors["folds"].long()
        if kept.ndim != 2 or kept_folds.shape != kept.shape[:1] or tensors["grid"].ndim != 2:
            raise ValueError("the kept rows, their folds and the grid do not fit each other")
        members = []
        for k, flow in enumerate(flows):
            fitted, seen = tensors[f"fitted.{k}"], kept[kept_folds != k]
            mixture = Mixture.from_tensors(tensors, f"mixture.{k}.") if has_mixtures(tensors) else None
            width = len(row_tests(bool(len(kept)), mixture is not None))
            if fitted.ndim != 2 or fitted.shape[1] != width or len(fitted) < 2:
                raise ValueError(f"fitted.{k} does not hold a score of each test")
            if len(kept) and (kept.shape[1:] != flow.item_shape or len(seen) < 2):
                raise ValueError("the kept rows do not fit the flow")
            if mixture is not None and (mixture.dimensions,) != flow.item_shape:
                raise ValueError(f"mixture.{k}.* does not fit the flow")
            share = float(tensors["shrinkage"][k]) if "shrinkage" in tensors else None
            near = Neighbours(seen.to(flow.device), share) if len(kept) else None
            members.append(Member(flow, mixture and mixture.to(flow.device), near, fitted.to(flow.device)))
        return cls(members, tensors["held_out"], folds, kept, kept_folds, tensors["grid"], tensors["log_likelihoods"])

    def tensors(self) -> dict[str, Tensor]:
        """What a store keeps, besides the weights of the members' flows."""
        found = {
            "held_out": self.scores.float().cpu(),
            "folds": self.folds.int(),
            "kept": self.kept,
            "kept_folds": self.kept_folds.int(),
            "grid": self.grid,
            "log_likelihoods": self.log_likelihoods,
        }
        shares = [member.neighbours.shrinkage for member in self.members if member.neighbours is not None]
        if None not in shares and shares:
            found["shrinkage"] = torch.tensor(shares, dtype=torch.float64)
        for k, member in enumerate(self.members):
            found[f"fitted.{k}"] = member.fitted.float().cpu()
            if member.mixture is not None:
                found |= member.mixture.tensors(f"mixture.{k}.")
        return found

    @property
    def size(self) -> int:
        """n, the number of calibrating rows. No p-value is below 1 / (n + 1)."""
        return len(self.scores)

    def assess(self, flow: Flow, x: Tensor) -> Assessment:
        """The likelihoods of continuous points (B, D) under the published flow, and the members' verdicts on them.

        A row's answer is the same alone and among others where the flow's is (see the service's batches). A row that
        is not finite gets the least p-value, 1 / (n + 1).
        """
        own = raw_scores(flow, self.members[0].mixture, None, x)
        raws = [own if len(self.members) == 1 else raw_scores(m.flow, m.mixture, None, x) for m in self.members]
        columns = [-own[0], own[1]]
        if self.members[0].mixture is not None:
            columns[1] = -torch.stack([raw[1] for raw in raws]).mean(dim=0)
        if self.neighbours:
            near = [finite(member.neighbours.distances(x)) for member in self.members if member.neighbours]
            raws = [torch.cat([raw, distances]) for raw, distances in zip(raws, near, strict=True)]
            columns += list(torch.stack(near).mean(dim=0))
        return Assessment(-own[0], torch.stack(columns, dim=1), self._verdict(raws))

    def contributions(self, x: Tensor) -> Contributions:
        """What each column of continuous points (B, D) adds to their being unlikely, under the members."""
        mixtures = [member.mixture for member in self.members if member.mixture is not None]
        near = None
        if mixtures:
            found = [mixture.conditional(x) for mixture in mixtures]
            mean, std = (torch.stack(part).mean(dim=0) for part in zip(*found, strict=True))
            near = mean, std
        return contributions([member.log_density for member in self.members], x, self.grid, near)

    def judge(self, x: Tensor) -> Verdict:
        """p-values of continuous points (B, D)."""
        return self.judge_with_scores(x)[0]

    def judge_with_scores(self, x: Tensor) -> tuple[Verdict, Tensor]:
        """p-values of continuous points (B, D), and their nonconformity scores (B,) as means over the members.

        The scores also order points that share the least p-value.
        """
        raws = [member.raw(x) for member in self.members]
        scores = [member.test_scores(raw).sum(dim=0) for member, raw in zip(self.members, raws, strict=True)]
        return self._verdict(raws), torch.stack(scores).mean(dim=0)

    def _verdict(self, raws: Sequence[Tensor]) -> Verdict:
        at_least = torch.zeros(len(self.tests) + 1, raws[0].shape[1], dtype=torch.long, device=raws[0].device)
        above = torch.zeros_like(at_least)
        each_ranks, measures = [], []
        for member, ordered, raw in zip(self.members, self._sorted, raws, strict=True):
            scores = member.test_scores(raw)
            measures.append(torch.cat([scores, -raw[:1]]).T)
            scores = torch.cat([scores, scores.sum(dim=0, keepdim=True)]).contiguous()
            lower, lower_or_equal = torch.searchsorted(ordered, scores), torch.searchsorted(ordered, scores, right=True)
            at_least += ordered.shape[1] - lower
            above += ordered.shape[1] - lower_or_equal
            each_ranks.append(torch.stack([lower, lower_or_equal], dim=2).roll(1, dims=0).transpose(0, 1))
        p_values = (1 + at_least).double() / (self.size + 1)
        ranks = (2 * self.size - at_least - above)[:-1].T
        return Verdict(
            p_values[-1],
            {test.name: column for test, column in zip(self.tests, p_values[:-1], strict=True)},
            self._normal_score_of.index_select(0, ranks.flatten()).view(ranks.shape),
            torch.stack(each_ranks, dim=1),
            torch.stack(measures, dim=1),
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many calibrating rows each member judges."""
        return tuple(ordered.shape[1] for ordered in self._sorted)

    @property
    def fit(self) -> int:
        """The number of rows that are kept as neighbours."""
        return len(self.kept)

    @property
    def ordinary_scores(self) -> Tensor:
        """The nonconformity scores (n,) of the calibrating rows, ascending, each under the member that judges it."""
        return self.scores.sum(dim=1).sort().values

    def held_out(self, statistic: str) -> Tensor:
        """The log-likelihoods (n,) in nats of the calibrating rows, each under the member that judges it.

        Raises KeyError for any other statistic.
        """
        return {"log_likelihood": self.log_likelihoods.double()}[statistic]

    def judge_group(self, scores: Tensor) -> GroupVerdict:
        """As ``Calibration.judge_group``."""
        return self.judge_groups(scores, [len(scores)])[0]

    def judge_groups(self, scores: Tensor, lengths: Sequence[int]) -> list[GroupVerdict]:
        """As ``Calibration.judge_groups``."""
        return group_verdicts(scores, lengths, self._precision, self.size)

    def __repr__(self) -> str:
        return f"CrossCalibration(members={len(self.members)}, kept={len(self.kept)}, held_out={self.size})"


def has_mixtures(tensors: Mapping[str, Tensor]) -> bool:
    """Whether stored tensors are those of a calibration with mixtures; an earlier version had none."""
    return "mixture.0.means" in tensors


def grid_of(rows: Tensor) -> Tensor:
    """At most ``GRID`` quantiles (D, S) of each column of rows (N, D), from its least to its greatest value."""
    levels = torch.linspace(0, 1, GRID, dtype=torch.float64)
    found: Tensor = torch.quantile(rows.double().cpu()[:10_000], levels, dim=0, interpolation="nearest").T
    return found.float().contiguous()
