"""From what the device found to the outputs of an answer."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from service.api.operations import Parameters
from service.api.routes.score import ScoreParameters, count_scores
from service.api.service import Service
from service.api.v2.requests import Asked
from service.api.v2.signatures import Called
from service.media.inference import Wanted
from service.media.npy import Array
from service.protocol.errors import WrongValue
from service.protocol.model_info import ModelInfo

_COMPLETIONS = {
    "log_likelihood": "after",
    "log_likelihood_before": "before",
    "gradient_norm": "grad_norm",
}
"""Outputs of an inpainting that the device calls by other names."""


def check_choice(chosen: Sequence[tuple[str, bool]], asked: Asked) -> None:
    """Raises WrongValue for an output that the parameters leave nothing to say in."""
    if isinstance(asked.query, ScoreParameters) and asked.query.fdr is None and "discovery" in dict(chosen):
        raise WrongValue("discovery needs the parameter fdr", "fdr")


def outputs_of(
    service: Service, function: Called, asked: Asked, found: Any, chosen: Sequence[tuple[str, bool]]
) -> list[Wanted]:
    """The chosen outputs. ``found`` is what the device answered: rows, or a completed inpainting."""
    model, arrays = function.model, found.arrays
    if function.kind == "score":
        count_scores(service, model, found, _alpha(asked.query))
        arrays = _judged(model, arrays, found.each, _alpha(asked.query), dict(chosen))
    elif function.kind == "inpaint":
        arrays = {**arrays, **{name: arrays[other] for name, other in _COMPLETIONS.items()}, "seed": _seed(asked)}
    elif function.kind == "sample":
        arrays = {**arrays, "seed": _seed(asked)}
    return [Wanted(name, arrays[name], binary) for name, binary in chosen]


def _judged(
    model: ModelInfo, arrays: Mapping[str, Array], each: Mapping[str, Array], alpha: float, chosen: Collection[str]
) -> dict[str, Array]:
    """The device's rows, and of the chosen outputs those that are made of them."""
    found = {**arrays, **each}
    if "bits_per_dim" in chosen and model.bits_per_dim_of:
        found["bits_per_dim"] = 8 - arrays["log_likelihood"] / (model.bits_per_dim_of * math.log(2))
    if "anomalous" in chosen:
        found["anomalous"] = arrays["p_value"] <= alpha
    return found


def _alpha(query: Parameters) -> float:
    assert isinstance(query, ScoreParameters)
    return query.alpha


def _seed(asked: Asked) -> Array:
    return np.array([asked.work.seed], dtype=np.int64)
