"""The service's own scores without the service: the same program on the same batches, one after another."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.anomaly import GroupVerdict
from model_store import LoadedModel
from service.columns import Columns, padded
from service.programs import Score
from service.scores import Judged, Scored


class Scorer:
    """Scores batch by batch and keeps of each item what judges all of them together: its scores."""

    def __init__(self, model: LoadedModel, seed: int) -> None:
        self.model = model
        self._program, self._seed = Score(model), seed
        self._log_likelihoods: list[Tensor] = []
        self._scores: list[Tensor] = []

    @torch.inference_mode()
    def score(self, items: Tensor) -> Scored:
        """Of items (B, *S) as a user sends them."""
        columns = Columns(items=items, seed=torch.full((len(items),), self._seed, dtype=torch.int64))
        rows = self._program.step(padded(self._program.start(columns), self._program.rows_multiple))
        found = self._program.result(rows).rows(0, len(items)).to("cpu")
        self._log_likelihoods.append(found["log_likelihood"])
        calibration = self.model.calibration
        if calibration is None:
            return Scored(found["log_likelihood"], None)
        verdict = calibration.judge(found["statistics"])
        self._scores.append(verdict.scores)
        return Scored(found["log_likelihood"], Judged(found["statistics"], verdict))

    @property
    def log_likelihoods(self) -> Tensor:
        """Of all items so far (N,)."""
        return torch.cat(self._log_likelihoods)

    def group(self) -> GroupVerdict | None:
        """The verdict on all items so far, taken together; None where the model is not calibrated."""
        calibration = self.model.calibration
        return None if calibration is None else calibration.judge_group(torch.cat(self._scores))
