"""Every shipped model is loaded in both precisions, with every check, and compared with the CPU's float32."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from bench.gpu.figures import Figures
from flows.nets.precision import exact_float32
from model_store import ModelRefused, Store

_ITEMS = 256


def measure(figures: Figures) -> Iterator[dict[str, object]]:
    """Of each model and precision: seconds to load, the round trip's error, and nats between here and the CPU."""
    store = Store(figures.store)
    with exact_float32(), torch.no_grad():
        for name in store.names()[: 2 if figures.small else None]:
            reference = store.load(*store.resolve(name))
            items = reference.survey.draws[: 8 if figures.small else _ITEMS]
            exact = reference.flow.log_prob(reference.flow.to_continuous(items)).double()
            for bfloat16 in (False, True):
                began = time.perf_counter()
                try:
                    model = store.load(*store.resolve(name), figures.device, bfloat16=bfloat16)
                except ModelRefused as error:
                    yield {"model": name, "bfloat16": bfloat16, "refused": error.reason}
                    continue
                took = time.perf_counter() - began
                found = model.serving.log_prob(model.serving.to_continuous(items)).double().cpu()
                yield {
                    "model": name,
                    "precision": model.precision,
                    "fallback": model.fallback,
                    "seconds": took,
                    "round_trip": model.deviation.round_trip,
                    "worst_nats": float((found - exact).abs().max()),
                    "mean_nats": float((found - exact).mean()),
                }
