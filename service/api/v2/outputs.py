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
from service.media.inference import InferRequest, Wanted
from service.media.inference import outputs_of as chosen_outputs
from service.media.npy import Array
from service.protocol.errors import WrongValue
from service.protocol.model_info import ModelInfo

_COMPLETIONS = {
    "log_likelihood": "after",
    "log_likelihood_before": "before",
    "gradient_norm": "grad_norm",
}
"""Outputs of an inpainting that the device calls by other names."""


def choice_of(request: InferRequest, function: Called, asked: Asked) -> list[tuple[str, bool]]:
    """The outputs to send, and whether each is sent as binary data.

    Raises WrongValue for one that there is none of, or that the parameters leave nothing to say in. A tensor cannot say
    null: an alpha that no p-value can reach leaves `anomalous` out, where it is not asked for by name.
    """
    signature, usual = function.signature(), function.signature().usual_outputs
    calibration, query = function.model.calibration, asked.query
    if isinstance(query, ScoreParameters) and calibration is not None:
        smallest = 1 / (calibration.reference + 1)
        if query.alpha < smallest:
            usual = tuple(name for name in usual if name != "anomalous")
            if any(output.name == "anomalous" for output in request.outputs):
                raise WrongValue(
                    f"anomalous needs an alpha of at least {smallest:.3g}: no p-value of this model is smaller", "alpha"
                )
    chosen = chosen_outputs(request, signature.output_names, usual)
    if isinstance(query, ScoreParameters) and query.fdr is None and any(name == "discovery" for name, _ in chosen):
        raise WrongValue("discovery needs the parameter fdr", "fdr")
    return chosen


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
