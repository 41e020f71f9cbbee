"""Which device computes, and what it is fast at: the only place that asks whether there is a GPU."""

from __future__ import annotations

import logging

import torch

from flows.nets.precision import multiplies_bfloat16
from service.device_names import NoSuchDevice, gpu_index
from service.settings import Settings

logger = logging.getLogger("sluice")


def device_of(settings: Settings) -> torch.device:
    """The device that this process computes on. Raises NoSuchDevice for a GPU that is not there.

    A process computes on one device: `cuda` is the first GPU that it sees, which is the only one that a device process
    of the service sees.
    """
    asked = settings.device
    if asked == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto" and not count:
        logger.warning("computing on the CPU: PyTorch finds no GPU")
        return torch.device("cpu")
    if (gpu_index(asked) or 0) >= count:
        there = ", ".join([*(f"cuda:{index}" for index in range(count)), "cpu"])
        raise NoSuchDevice(f"there is no {asked}. Devices that PyTorch finds: {there}")
    return torch.device("cuda" if asked == "auto" else asked)


def batch_rows(device: torch.device) -> int:
    """Rows of the largest batch: as many as it takes to fill the device."""
    return 2048 if device.type == "cuda" else 256


def bfloat16_allowed(settings: Settings, device: torch.device) -> bool:
    """Whether nets may compute in bfloat16: allowed by the settings, and fast on the device."""
    return settings.precision == "auto" and multiplies_bfloat16(device)
