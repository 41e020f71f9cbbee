"""From what the device found to the outputs of an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from service.api.operations import Parameters
from service.api.routes.score import ScoreParameters, count_scores
from service.api.service import Service
from service.api.v2.requests import Asked
from service.api.v2.signatures import MAP, Called
from service.media.inference import InferRequest, Wanted
from service.media.inference import outputs_of as chosen_outputs
from service.media.npy import Array
from service.media.table_columns import column_of
from service.media.tensors import BF16, NUMPY, bfloat16_of
from service.protocol.errors import WrongValue
from service.protocol.model_info import ModelInfo

_COMPLETIONS = {
    "log_likelihood": "after",
    "log_likelihood_before": "before",
    "gradient_norm": "grad_norm",
}
"""Outputs of an inpainting that the device calls by other names."""
_FLOATS = "float_datatype"
"""The parameter of a request that names the datatype of floats."""
_DATATYPES = ("FP16", BF16, "FP32", "FP64")


class Choice(NamedTuple):
    """The outputs to send, and the datatype of floats among them; None is each output's own."""

    outputs: Mapping[str, bool]
    """By name, whether each is sent as binary data."""
    floats: str | None = None


def choice_of(request: InferRequest, function: Called, asked: Asked) -> Choice:
    """What a request wants to be sent.

    Raises WrongValue for an output that there is none of, or that the parameters leave nothing to say in. A tensor
    cannot say null: an alpha that no p-value can reach leaves `anomalous` out, where it is not asked for by name.
    """
    signature, calibration, query = function.signature(), function.model.calibration, asked.query
    usual = signature.usual_outputs
    if isinstance(query, ScoreParameters) and calibration is not None:
        smallest = calibration.smallest_p_value
        if query.alpha < smallest:
            usual = tuple(name for name in usual if name != "anomalous")
            if any(output.name == "anomalous" for output in request.outputs):
                raise WrongValue(
                    f"anomalous needs an alpha of at least {smallest:.3g}: no p-value of this model is smaller", "alpha"
                )
    chosen = Choice(chosen_outputs(request, signature.output_names, usual), _floats(request))
    if isinstance(query, ScoreParameters) and query.fdr is None and "discovery" in chosen.outputs:
        raise WrongValue("discovery needs the parameter fdr", "fdr")
    if chosen.floats == BF16 and not all(chosen.outputs.values()):
        raise WrongValue(f"{_FLOATS}: BF16 has no form in JSON; ask for the outputs as binary data", _FLOATS)
    return chosen


def _floats(request: InferRequest) -> str | None:
    """The datatype that a request asks for floats in."""
    asked = request.parameters.get(_FLOATS)
    if asked is not None and asked not in _DATATYPES:
        raise WrongValue(f"{_FLOATS} must be one of {', '.join(_DATATYPES)}", _FLOATS)
    return asked


def outputs_of(service: Service, function: Called, asked: Asked, found: Any, chosen: Choice) -> list[Wanted]:
    """The chosen outputs. ``found`` is what the device answered: rows, or a completed inpainting."""
    model, arrays = function.model, dict(found.arrays)
    if function.kind == "score":
        count_scores(service, model, found, _alpha(asked.query))
        arrays = _judged(model, arrays, found.each, _alpha(asked.query), chosen)
        if MAP in chosen.outputs:
            arrays[MAP] = arrays["rarity"]
    elif function.kind == "inpaint":
        arrays |= {**{name: arrays[other] for name, other in _COMPLETIONS.items()}, "seed": _seed(asked)}
    elif function.kind == "sample":
        arrays["seed"] = _seed(asked)
    if model.table is not None and "items" in arrays:
        numbers = arrays["items"] = model.table.numbers(arrays["items"])
        columns = function.signature().output_columns
        wanted = [name for name in chosen.outputs if name in columns]
        arrays |= {name: column_of(numbers, model.table, name).reshape(-1, 1) for name in wanted}
    return [_wanted(name, arrays[name], binary, chosen.floats) for name, binary in chosen.outputs.items()]


def _wanted(name: str, values: Array, binary: bool, floats: str | None) -> Wanted:
    if floats is None or values.dtype.kind != "f":
        return Wanted(name, values, binary)
    if floats == BF16:
        return Wanted(name, bfloat16_of(values), binary, BF16)
    with np.errstate(over="ignore"):
        return Wanted(name, values.astype(NUMPY[floats]), binary)


def _judged(
    model: ModelInfo, arrays: Mapping[str, Array], each: Mapping[str, Array], alpha: float, chosen: Choice
) -> dict[str, Array]:
    """The device's rows, and of the chosen outputs those that are made of them."""
    found = {**arrays, **each}
    if "bits_per_dim" in chosen.outputs and model.bits_per_dim_of:
        found["bits_per_dim"] = 8 - arrays["log_likelihood"] / (model.bits_per_dim_of * math.log(2))
    if "anomalous" in chosen.outputs:
        found["anomalous"] = arrays["p_value"] <= alpha
    return found


def _alpha(query: Parameters) -> float:
    assert isinstance(query, ScoreParameters)
    return query.alpha


def _seed(asked: Asked) -> Array:
    return np.array([asked.work.seed], dtype=np.int64)
