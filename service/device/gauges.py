"""The gauges of a device: figures that are asked for when Prometheus reads them."""

from __future__ import annotations

import torch

from model_store import LoadedModel
from service.device import memory
from service.device.account import Account
from service.device.device_metrics import DeviceMetrics
from service.device.registry import Registry


def watch(
    metrics: DeviceMetrics, account: Account, bound: int, threads: int, registry: Registry, device: torch.device
) -> None:
    """Add them to a registry of metrics.

    ``bound`` is the most work that may wait, in item-ticks, ``threads`` the most of one operation.
    """
    metrics.watch("sluice_queue_item_ticks", "Admitted work that waits", lambda: account.waiting)
    metrics.watch("sluice_queue_item_ticks_bound", "The most work that may wait", lambda: bound)
    metrics.watch("sluice_queue_jobs", "Requests whose work is not done", lambda: account.jobs)
    metrics.watch("sluice_device_threads_bound", "The most CPU threads of one operation", lambda: threads)
    metrics.watch("sluice_models_loaded", "Models being served", lambda: len(registry.models))
    metrics.watch("sluice_models_refused", "Models refused", lambda: len(registry.refused))
    metrics.watch_each(
        "sluice_model_info",
        "1 for each model that is served",
        ("model", "architecture", "prior", "device", "precision"),
        lambda: ((_facts(model, device), 1) for model in registry.models),
    )
    metrics.watch_each(
        "sluice_model_float32_fallback",
        "1 for a model whose nets compute in float32 because they failed their check in bfloat16",
        ("model",),
        lambda: (((model.reference,), float(model.fallback is not None)) for model in registry.models),
    )
    metrics.watch_each(
        "sluice_device_memory_bytes",
        "Of a GPU: taken by anybody, and in all. On the CPU: the device process's, and the machine's or container's",
        ("kind",),
        lambda: [(("used",), memory.used_bytes(device)), (("total",), memory.total_bytes(device))],
    )


def _facts(model: LoadedModel, device: torch.device) -> tuple[str, ...]:
    manifest = model.manifest
    return model.reference, manifest.architecture.name, manifest.prior, str(device), model.precision
