"""How devices are named in settings and on the command line: `auto`, `cpu`, `cuda`, `cuda:1`, and lists of devices."""

from __future__ import annotations

import re

CPU = "cpu"
_GPU = re.compile(r"cuda:(0|[1-9]\d{0,2})")


class NoSuchDevice(RuntimeError):
    """A device that was asked for by name is not there. The message says what is."""


def gpu_index(place: str) -> int | None:
    """The number of a GPU that is named on its own, 1 of `cuda:1`; None for anything else."""
    found = _GPU.fullmatch(place)
    return int(found[1]) if found else None


def checked_device(name: str) -> str:
    """A value of SLUICE_DEVICE. Raises ValueError."""
    if name in ("auto", CPU, "cuda") or gpu_index(name) is not None:
        return name
    raise ValueError(f"{name!r} is no device: it must be auto, cpu, cuda (all GPUs) or one GPU such as cuda:1")


def listed(names: str) -> list[str]:
    """The devices of a value of SLUICE_DEVICES, in order. Raises ValueError."""
    found = [name.strip() for name in names.split(",")]
    for name in found:
        if name != CPU and gpu_index(name) is None:
            raise ValueError(f"{name!r} cannot be listed: a list holds cpu, or GPUs such as cuda:0,cuda:1")
    if len({name == CPU for name in found}) > 1:
        raise ValueError(
            "a list holds devices of one kind: the CPU and a GPU round differently, and the same seed must give the "
            "same answer from each"
        )
    return found


def checked_devices(names: str) -> str:
    """A value of SLUICE_DEVICES, without spaces. Raises ValueError."""
    return ",".join(listed(names))
