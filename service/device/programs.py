"""What one tick does to a batch of rows: one program for each kind of work that a flow can do."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flows import Flow, anomaly, inpainting, noise
from flows.anomaly import CrossCalibration, benjamini_hochberg
from flows.anomaly.calibration import Assessment
from flows.inpainting import Climb
from service.device.columns import Columns
from service.device.jobs import Job
from service.device.program import Conclusion, OneTick, Program


class Sample(OneTick):
    """key (B,) int64, temperature (B,) -> items (B, *S), as a user gets them."""

    kind = "sample"
    field = "temperature"

    @property
    def decodes(self) -> bool:
        return True

    def compute(self, columns: Columns) -> Columns:
        prior = self.flow.prior
        z = prior.quantile(noise.uniform(columns["key"], prior.shape))
        z = z * columns["temperature"].reshape(-1, *[1] * len(prior.shape))
        items = self.flow.to_items(self.flow.decode(z.to(self.flow.dtype))[0])
        return Columns({"items": items})


class Score(OneTick):
    """Likelihoods and, of a calibrated model, verdicts: for all rows of a tick together.

    items (B, *S), seed (B,) -> log_likelihood (B,) in nats, and where the model is calibrated p_value (B,),
    test_p_values (B, T), statistics (B, K) of those that mean something on their own, scores (B, G) for the group, and
    by each of M members of the calibration ranks (B, M, 1 + T, 2) for what tells of drift, and measures (B, M, F) for
    what is kept of live traffic. Of rows of a table also their points (B, D), with what was missing drawn, for drift.
    """

    kind = "score"

    @property
    def alone(self) -> bool:
        return False  # scores come by the thousand, and a pass over many is shorter

    def compute(self, columns: Columns) -> Columns:
        flow, calibration = self.flow, self.model.calibration
        x = flow.to_continuous(columns["items"], columns["seed"])
        if calibration is None:
            return Columns({"log_likelihood": flow.log_prob(x).double()})
        scored = _assessed(calibration.assess(flow, x))
        if isinstance(calibration, CrossCalibration):
            scored = Columns({**scored.tensors, "points": x})
        return scored

    def conclude(self, jobs: Sequence[Job], columns: Columns) -> Conclusion:
        """Also the p-value of each request as a group and, where a rate was asked for, which items are discoveries."""
        arrays = {name: tensor.numpy() for name, tensor in columns.tensors.items()}
        for name in ("ranks", "points", "measures"):  # for the service itself
            arrays.pop(name, None)
        if not any(job.options.scores for job in jobs):
            arrays.pop("scores", None)
        calibration = self.model.judging
        if calibration is None:
            return Conclusion(arrays, {}, {})
        verdicts = calibration.judge_groups(columns["scores"], [len(job) for job in jobs])
        groups = np.array([verdict.p_value for verdict in verdicts])
        if any(job.options.fdr is not None for job in jobs):
            arrays["discovery"] = _discoveries(jobs, columns["p_value"])
        return Conclusion(arrays, {"group_p_value": groups}, {})


def _assessed(found: Assessment) -> Columns:
    assert found.verdict.measures is not None, "which only pictures of any size lack"
    return Columns(
        {
            "log_likelihood": found.log_likelihood,
            "p_value": found.verdict.p_value,
            "test_p_values": torch.stack(list(found.verdict.tests.values()), dim=1),
            "statistics": found.statistics,
            "scores": found.verdict.scores,
            "ranks": found.verdict.ranks,
            "measures": found.verdict.measures,
        }
    )


class ScoreWithMap(Score):
    """What ``Score`` gives, and where a picture is strange, in one forward pass.

    Adds rarity (B, H, W) and place_p_value (B, H, W), see ``anomaly.AnomalyMap``.
    """

    kind = "score_map"

    def compute(self, columns: Columns) -> Columns:
        flow, calibration, anomaly_map = self.flow, self.model.calibration, self.model.map
        assert anomaly_map is not None
        assert not isinstance(calibration, CrossCalibration), "which is of vectors"
        x = flow.to_continuous(columns["items"], columns["seed"])
        if calibration is None:
            z, log_abs_det, shares = flow.encode_locally(x)
            pixels = anomaly.pixel_nats_of(flow, x, z, shares)
            scored = Columns({"log_likelihood": (flow.prior.log_prob(z) + log_abs_det).double()})
        else:
            statistics, pixels = anomaly.statistics_and_pixels(flow, x)
            scored = _assessed(calibration.assess_statistics(statistics))
        found = anomaly_map.judge(pixels)
        return Columns({**scored.tensors, "rarity": found.rarity, "place_p_value": found.p_value})


def _discoveries(jobs: Sequence[Job], p_values: Tensor) -> np.ndarray:
    parts = torch.split(p_values, [len(job) for job in jobs])
    flags = [
        torch.zeros(len(part), dtype=torch.bool)
        if job.options.fdr is None
        else benjamini_hochberg(part, job.options.fdr)
        for job, part in zip(jobs, parts, strict=True)
    ]
    return torch.cat(flags).numpy()


class Explain(OneTick):
    """Which columns make a row of a table unlikely. Of a model with cross-conformal p-values.

    items (B, D), seed (B,) -> gain (B, D) in nats, expected (B, D).
    """

    kind = "explain"
    size = 32  # each row stands for hundreds, and other requests wait while a tick goes on

    def row_costs(self, columns: Columns) -> Sequence[int]:
        return [columns["items"][0].numel()] * len(columns)

    def compute(self, columns: Columns) -> Columns:
        calibration = self.model.calibration
        assert isinstance(calibration, CrossCalibration)
        found = calibration.contributions(self.flow.to_continuous(columns["items"], columns["seed"]))
        return Columns({"gain": found.gain, "expected": found.expected})


class Encode(OneTick):
    """items (B, *S), seed (B,) -> latents (B, *Z), log_abs_det (B,) of data to latent.

    In float32, since latents are made to go back.
    """

    kind = "encode"

    @property
    def flow(self) -> Flow:
        return self.model.flow

    def compute(self, columns: Columns) -> Columns:
        latents, log_abs_det = self.flow.encode(self.flow.to_continuous(columns["items"], columns["seed"]))
        return Columns({"latents": latents, "log_abs_det": log_abs_det})


class Decode(OneTick):
    """latents (B, *Z) -> items (B, *S), log_abs_det (B,) of latent to data. In float32."""

    kind = "decode"
    field = "latents"

    @property
    def decodes(self) -> bool:
        return True

    @property
    def flow(self) -> Flow:
        return self.model.flow

    def compute(self, columns: Columns) -> Columns:
        x, log_abs_det = self.flow.decode(columns["latents"])
        return Columns({"items": self.flow.to_items(x), "log_abs_det": log_abs_det})


@dataclass(frozen=True)
class Inpaint(Program):
    """Inpaintings of one method. Every row brings its own schedule.

    items (B, *S) with anything in hidden places, hidden (B, *S) bool, key (B,), seed (B,), steps (B,) int64,
    step_size (B,), temperature (B,) -> completions.
    """

    kind = "inpaint"
    iterative = True

    method: str

    @property
    def decodes(self) -> bool:
        return self.method == "latent"

    @property
    def draws(self) -> bool:
        sharp = isinstance(self.flow, inpainting.SharpModes)
        return inpainting.METHODS[self.method].on(self.flow).redraws or not sharp

    @property
    def key(self) -> Hashable:
        return self.kind, self.model.reference, self.method

    def start(self, columns: Columns) -> Climb:
        """What requests sent, on the device -> rows; part of a row's first tick."""
        return self._started(columns, self.flow, self.model.survey)

    def _started(self, columns: Columns, flow: Flow, survey: inpainting.Survey) -> Climb:
        # What stands in the hidden places must not reach the noise of the known ones.
        known = columns["items"].masked_fill(columns["hidden"], 0)
        return inpainting.start(
            flow,
            flow.to_continuous(known, columns["seed"]),
            columns["hidden"],
            columns["key"],
            survey=survey,
            method=self.method,
            steps=columns["steps"],
            step_size=columns["step_size"],
            temperature=columns["temperature"],
        )

    def step(self, rows: Climb) -> Climb:
        """One tick; the rows that come in are left as they are."""
        return inpainting.step(self.flow, rows)

    def done(self, rows: Climb) -> Tensor:
        """(B,) bool: the rows that need no further tick."""
        return rows.done

    def view(self, rows: Climb) -> Columns:
        """What an observer sees: where the rows stand. The best so far may lie far back."""
        return Columns({"items": self.flow.to_items(rows.x), "log_likelihood": rows.log_prob})

    def result(self, rows: Climb) -> Columns:
        """What the request gets of its finished rows."""
        return Columns(
            {
                "items": self.flow.to_items(rows.result()),
                "before": rows.start_log_prob,
                "after": rows.log_prob if rows.samples else rows.best_log_prob,
                "grad_norm": rows.grad_norm,
                "acceptance": rows.acceptance,
                "steps": rows.step,
                "converged": rows.converged,
            }
        )
