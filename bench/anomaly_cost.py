"""What a verdict costs beside the bare likelihood: in process, and for somebody who asks over HTTP; and in memory."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import torch
from torch import Tensor

from bench.serving import served
from bench.side_by_side import processes
from flows import anomaly
from model_store import CalibrationEvidence, LoadedModel, Publication, publish

BATCH = 256
LARGEST = 10_000
"""Items of a request that the service takes by default."""
_REPEATS, _LEAST, _SECONDS = 300, 10, 15.0


@torch.inference_mode()
def in_process(model: LoadedModel, items: Tensor) -> float:
    """Time of likelihood and verdict over time of the likelihood, for one batch (BATCH, *item_shape)."""
    flow, calibration = model.serving, model.calibration
    assert calibration is not None
    return _ratio(
        lambda: flow.log_prob(flow.to_continuous(items)),
        lambda: calibration.judge(anomaly.statistics(flow, flow.to_continuous(items))),
    )


class OverHttp(NamedTuple):
    ratio: float
    """What ``in_process`` is, between POST /score to the model and to a copy of it without calibration."""
    items: int
    grown: int
    """Bytes by which the service's memory was larger at most while it scored so many items of one request."""


def over_http(model: LoadedModel, items: Tensor) -> OverHttp:
    """Of a batch of the first items (N, *item_shape), and of all of them, at most ``LARGEST``, in one request."""
    few, all_of_them = _npy(items[:BATCH]), _npy(items[:LARGEST])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _copy(root, "bare", model, items, None)
        _copy(root, "judged", model, items, model.calibration)
        with served(root, deadline="600") as (process, address), httpx.Client(timeout=600) as client:

            def score(name: str, body: bytes) -> None:
                headers = {"content-type": "application/x-npy"}
                answer = client.post(f"{address}/score?model={name}", content=body, headers=headers)
                answer.raise_for_status()

            ratio = _ratio(lambda: score("bare", few), lambda: score("judged", few))
            members = processes.tree(process)
            before = processes.resident_bytes(members)
            processes.forget_peaks(members)
            score("judged", all_of_them)
            return OverHttp(ratio, len(items[:LARGEST]), processes.peak_bytes(members) - before)


def _npy(items: Tensor) -> bytes:
    body = io.BytesIO()
    np.save(body, items.numpy())
    return body.getvalue()


Verdicts = anomaly.Calibration | anomaly.CrossCalibration


def _copy(root: Path, name: str, model: LoadedModel, items: Tensor, calibration: Verdicts | None) -> None:
    manifest = model.manifest
    publication = Publication(
        flow=model.flow,
        architecture=manifest.architecture.name,
        arguments=manifest.architecture.arguments,
        golden_items=items[:4],
        calibration=CalibrationEvidence(calibration=calibration, source="the model's own")
        if calibration is not None
        else None,
        weights_dtype=manifest.weights.dtype,
        bfloat16=manifest.bfloat16,
    )
    publish(root, name, publication)


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
