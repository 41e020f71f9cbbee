"""What a verdict costs beside the bare likelihood: in process, and for somebody who asks over HTTP."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import torch
from torch import Tensor

from bench.serving import served
from flows import anomaly
from model_store import LoadedModel, publish

BATCH = 256
_REPEATS, _LEAST, _SECONDS = 60, 10, 15.0


@torch.inference_mode()
def in_process(model: LoadedModel, items: Tensor) -> float:
    """Time of likelihood and verdict over time of the likelihood, for one batch (BATCH, *item_shape)."""
    flow, calibration = model.serving, model.calibration
    assert calibration is not None
    return _ratio(
        lambda: flow.log_prob(flow.to_continuous(items)),
        lambda: calibration.judge(anomaly.statistics(flow, flow.to_continuous(items))),
    )


def over_http(model: LoadedModel, items: Tensor) -> float:
    """The same between POST /score to the model and to a copy of it without calibration."""
    body = io.BytesIO()
    np.save(body, items.numpy())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _copy(root, "bare", model, items, None)
        _copy(root, "judged", model, items, model.calibration)
        with served(root) as (_, address), httpx.Client(timeout=120) as client:

            def score(name: str) -> None:
                headers = {"content-type": "application/x-npy"}
                answer = client.post(f"{address}/score?model={name}", content=body.getvalue(), headers=headers)
                answer.raise_for_status()

            return _ratio(lambda: score("bare"), lambda: score("judged"))


def _copy(root: Path, name: str, model: LoadedModel, items: Tensor, calibration: anomaly.Calibration | None) -> None:
    manifest = model.manifest
    publish(
        root,
        name,
        model.flow,
        architecture=manifest.architecture.name,
        arguments=manifest.architecture.arguments,
        golden_items=items[:4],
        provenance={},
        quality={},
        card="",
        calibration=calibration,
        weights_dtype=manifest.weights.dtype,
        bfloat16=manifest.bfloat16,
    )


def _ratio(bare: Callable[[], object], judged: Callable[[], object]) -> float:
    """Of the fastest of many runs each, taken in turns: what the machine can do when nothing disturbs it."""
    seconds: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + _SECONDS
    for number in range(_REPEATS):
        if number >= _LEAST and time.perf_counter() > end:  # of a slow flow fewer runs tell as much
            break
        for work, taken in zip((bare, judged), seconds, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return min(seconds[1]) / min(seconds[0])
