"""Scores without a service: the device in a thread of this process, asked batch by batch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import numpy as np
import torch

from flows.anomaly import benjamini_hochberg
from model_store import LoadedModel
from service.media.any_pictures import SentPictures
from service.media.npy import Array
from service.offline.one_model import far_deadline, serving_one
from service.protocol.client import DeviceClient, Found
from service.protocol.messages import Arrays, Options, Submit
from service.protocol.model_info import ModelInfo
from service.settings import Settings


class Scorer:
    """Scores batch by batch and keeps what judges all items together."""

    def __init__(self, model: LoadedModel, info: ModelInfo, device: DeviceClient, seed: int, *, maps: bool) -> None:
        self.model, self.info = model, info
        self._device, self._seed, self._maps = device, seed, maps
        self._log_likelihoods: list[Array] = []
        self._p_values: list[Array] = [np.empty(0)]
        self._scores: list[Array] = []
        self._dimensions: list[Array] = []

    async def score(self, items: Array, sent: SentPictures | None = None) -> Arrays:
        """Of items (B, *S): what ``media.documents.item_scores`` takes. ``sent`` are pictures of any size."""
        options = Options(scores=True, map=self._maps)
        arrays = await self._asked("score", {"items": items} if sent is None else sent.arrays(), options)
        if sent is not None:
            arrays |= {"sides": sent.sides, "scale": sent.scale}
            self._dimensions.append(arrays["dimensions"])
        self._log_likelihoods.append(arrays["log_likelihood"])
        if "scores" in arrays:
            self._scores.append(arrays.pop("scores"))
            self._p_values.append(arrays["p_value"])
        return arrays

    async def explain(self, items: Array) -> Arrays:
        """The gain and the expected value (B, D) of each column of rows (B, D) of a table."""
        return await self._asked("explain", {"items": items}, Options())

    async def _asked(self, kind: Literal["score", "explain"], sent: Arrays, options: Options) -> Arrays:
        found: Found = await self._device.ask(
            lambda number: Submit(
                id=number,
                model=self.info.reference,
                kind=kind,
                deadline=far_deadline(),
                arrays=sent,
                seed=self._seed,
                options=options,
            )
        )
        return dict(found.arrays)

    @property
    def count(self) -> int:
        """Items so far."""
        return sum(map(len, self._log_likelihoods))

    @property
    def log_likelihoods(self) -> Array:
        """Of all items so far (N,)."""
        return np.concatenate(self._log_likelihoods)

    @property
    def dimensions(self) -> Array | None:
        """The entries (N,) of all items so far, where they differ in size; else None."""
        return np.concatenate(self._dimensions) if self._dimensions else None

    @property
    def p_values(self) -> Array:
        """Of all items so far (N,); of none where the model is not calibrated."""
        return np.concatenate(self._p_values)

    def group_p_value(self) -> float | None:
        """Of all items so far, taken together; None where the model is not calibrated."""
        if self.model.judging is None:
            return None
        return self.model.judging.judge_group(torch.from_numpy(np.concatenate(self._scores))).p_value

    def discoveries(self, rate: float) -> Array | None:
        """Which of all items so far Benjamini and Hochberg's procedure flags (N,); None without calibration."""
        if self.model.judging is None:
            return None
        return benjamini_hochberg(torch.from_numpy(self.p_values), rate).numpy()


@asynccontextmanager
async def scorer_of(model: LoadedModel, settings: Settings, seed: int, *, maps: bool = False) -> AsyncIterator[Scorer]:
    """A scorer over a device that serves this one model; with ``maps`` it also tells where a picture is strange."""
    async with serving_one(model, settings) as one:
        yield Scorer(model, one.info, one.device, seed, maps=maps)
