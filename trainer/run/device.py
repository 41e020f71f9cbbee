"""The device that training runs on, and what nets multiply in there."""

from __future__ import annotations

import platform

import torch

from flows.nets.precision import multiplies_bfloat16
from trainer.errors import TrainerError
from trainer.presets import Precision


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes CUDA where there is one. Raises TrainerError when there is no CUDA."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainerError("no CUDA device is available; --device cpu trains without one")
    return torch.device(name)


def choose_precision(name: Precision, device: torch.device) -> Precision:
    """The precision of that name; ``auto`` takes bfloat16 where the hardware multiplies it."""
    if name != "auto":
        return name
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which nets multiply in that precision. Weights, latents and densities stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def device_name(device: torch.device) -> str:
    """What a device is called, and how many threads compute on a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
