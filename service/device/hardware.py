"""Which device computes, and what it is fast at: the only place that asks whether there is a GPU."""

from __future__ import annotations

import torch

from flows.nets.precision import multiplies_bfloat16
from service.settings import Settings


def device_of(settings: Settings) -> torch.device:
    """The device to compute on."""
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def batch_rows(device: torch.device) -> int:
    """Rows of the largest batch: as many as it takes to fill the device."""
    return 2048 if device.type == "cuda" else 256


def bfloat16_allowed(settings: Settings, device: torch.device) -> bool:
    """Whether nets may compute in bfloat16: allowed by the settings, and fast on the device."""
    return settings.precision == "auto" and multiplies_bfloat16(device)
