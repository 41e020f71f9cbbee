"""Streams of items for ``bench.drift``: calibrating ones drawn anew for each, then ordinary ones, then changed ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

import flows
from flows import Flow, anomaly
from service.device.drift import Scored, Watch
from service.device.drift_series import ColumnSeries, PValueSeries
from trainer.data import FASHION_MNIST, MNIST
from trainer.detector import FlowDetector
from trainer.publish.row_calibration import split_calibration
from trainer.report.anomaly_statistics import statistics

FOREIGN = 0.02
"""Part of the items that is foreign, where some are."""
_TRAINED_ON, _FITTED_ON, _CHANGED = 10_000, 2_000, 16_000
_STEPS, _BATCH = 400, 200
_LIMIT = 5.0


class Source(ABC):
    """Where the items of a stream come from. ``changes`` names the changes that it knows."""

    name: str
    changes: tuple[str, ...]
    after: int
    """Changed items of a stream."""

    @abstractmethod
    def stream(self, n: int, ordinary: int, change: str | None, changed: int, seed: int) -> tuple[Watch, Scored]:
        """A watch that n calibrating items calibrate, and ``ordinary`` items followed by ``changed`` ones."""


class Digits(Source):
    """MNIST under a small flow that is trained here on 10,000 pictures, so that 60,000 are left which it never saw.

    Pictures are put in a random order, so that calibrating and live ones are exchangeable.
    """

    name = "MNIST"
    changes = ("brightness + 5 %", "2 % of Fashion-MNIST")
    after = 15_000

    def __init__(self, data_dir: Path | None) -> None:
        train, test = MNIST.read(data_dir)
        pictures = torch.cat([train, test])
        pictures = pictures[torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))]
        flow = _trained(pictures[:_TRAINED_ON])
        rest = pictures[_TRAINED_ON:]
        tests = anomaly.tests_of(flow)
        self._scores = anomaly.NonconformityScores(tests, statistics(flow, rest[:_FITTED_ON]))
        rest = rest[_FITTED_ON:]
        self._ordinary = self._features(flow, rest)
        brighter = (rest[-_CHANGED:].float() * 1.05).round().clamp(max=255).to(torch.uint8)
        self._brighter = self._features(flow, brighter)
        self._foreign = self._features(flow, FASHION_MNIST.read(data_dir)[1])

    def _features(self, flow: Flow, pictures: Tensor) -> Tensor:
        """(N, G)."""
        return self._scores.features(statistics(flow, pictures)).T.contiguous()

    def stream(self, n: int, ordinary: int, change: str | None, changed: int, seed: int) -> tuple[Watch, Scored]:
        generator = torch.Generator().manual_seed(seed)
        # Pictures of which a changed copy may come later are not shown before.
        first = len(self._ordinary) - (_CHANGED if changed else 0)
        order = torch.randperm(first, generator=generator)
        calibration = anomaly.Calibration(self._scores, self._ordinary[order[:n]])
        parts = [self._ordinary[order[n : n + ordinary]]]
        later = torch.randperm(_CHANGED, generator=generator)[:changed]
        if change == self.changes[0]:
            parts.append(self._brighter[later])
        elif change == self.changes[1]:
            some = self._ordinary[first:][later].clone()
            foreign = torch.rand(len(some), generator=generator) < FOREIGN
            chosen = torch.randperm(len(self._foreign), generator=generator)[: int(foreign.sum())]
            some[foreign] = self._foreign[chosen]
            parts.append(some)
        verdict = calibration.judge_features(torch.cat(parts).T.double().contiguous())
        return Watch(PValueSeries(calibration), None, None), Scored(verdict.p_value, verdict.ranks, None)


class Friedman(Source):
    """scikit-learn's make_friedman1, six columns and what they predict, under a flow trained here on 5,400 rows."""

    name = "make_friedman1"
    changes = ("the predicted column times 1.1", "one of the others times 1.1")
    after = 3_000
    _NAMES = ("a", "b", "c", "d", "e", "f", "predicted")

    def __init__(self) -> None:
        self._flow: Flow = FlowDetector(max_steps=400).fit(self._rows(6_000, 1)).flow_

    def _rows(self, count: int, seed: int) -> np.ndarray:
        columns, predicted = make_friedman1(count, n_features=6, noise=1.0, random_state=seed)
        return np.column_stack([columns, predicted])

    def stream(self, n: int, ordinary: int, change: str | None, changed: int, seed: int) -> tuple[Watch, Scored]:
        kept = anomaly.KEPT_ROWS
        rows = self._rows(kept + n + ordinary + changed, 1000 + seed)
        if change is not None:
            rows[kept + n + ordinary :, -1 if change == self.changes[0] else 0] *= 1.1
        points = torch.from_numpy(rows.astype(np.float32))
        calibration = split_calibration(self._flow, points[:kept], points[kept : kept + n])
        live = points[kept + n :]
        verdicts = [calibration.judge(part) for part in torch.split(live, 512)]
        p_values, ranks = (torch.cat(parts) for parts in zip(*((v.p_value, v.ranks) for v in verdicts), strict=True))
        columns = ColumnSeries(self._NAMES, calibration.kept)
        return Watch(PValueSeries(calibration), columns, None), Scored(p_values, ranks, live)


def _trained(pictures: Tensor) -> Flow:
    """A NICE that is good enough to judge digits, after half a minute."""
    torch.manual_seed(0)
    flow = flows.nice((28, 28), hidden=[400, 400])
    generator = torch.Generator().manual_seed(0)
    flow.initialise(flow.to_continuous(pictures[:500]))
    parameters = list(flow.parameters())
    optimiser = torch.optim.Adam(parameters, lr=1e-3)
    for step in range(_STEPS):
        batch = pictures[torch.randint(len(pictures), (_BATCH,), generator=generator)]
        loss = -flow.log_prob(flow.to_continuous(batch, seed=step)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(parameters, _LIMIT * flow.dimensions)
        optimiser.step()
    return flow.eval()
