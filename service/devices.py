"""Which devices compute: what the settings ask for, looked up among what the machine has."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from service.device_names import CPU, NoSuchDevice, gpu_index, listed
from service.gpus import Gpus, find_gpus
from service.settings import Settings

logger = logging.getLogger("sluice")


class Device(NamedTuple):
    """A device that gets a process of its own."""

    name: str
    """Unlike that of any other: `cuda:1`, `cpu`, or `cpu:0` and `cpu:1` where the same place is listed twice."""
    place: str
    """`cpu`, or one GPU such as `cuda:1`."""

    def environment(self) -> dict[str, str]:
        """The variables that make a process compute there. It sees no other GPU, so nothing can land on one."""
        index = gpu_index(self.place)
        if index is None:
            return {"SLUICE_DEVICE": CPU, "SLUICE_DEVICES": ""}
        visible = [entry.strip() for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry.strip()]
        only = visible[index] if visible else str(index)
        return {"SLUICE_DEVICE": "cuda", "SLUICE_DEVICES": "", "CUDA_VISIBLE_DEVICES": only}


def devices_of(settings: Settings) -> tuple[Device, ...]:
    """The devices that the settings ask for, told in the log. Raises NoSuchDevice for one that is not there."""
    if settings.devices is not None:
        asked, said = listed(settings.devices), f"SLUICE_DEVICES={settings.devices}"
    else:
        asked, said = [settings.device], f"SLUICE_DEVICE={settings.device}"
    if asked[0] == CPU:  # a list names devices of one kind
        logger.info("computing on %s", ", ".join(asked))
        return _named(asked)
    gpus = find_gpus()
    if asked == ["auto"] and not gpus.names:
        logger.warning("computing on the CPU: %s", gpus.reason)
        return _named([CPU])
    places = list(gpus.places) if asked in (["auto"], ["cuda"]) else asked
    absent = ", ".join(dict.fromkeys(place for place in places if place not in gpus.places))
    if absent or not places:
        raise NoSuchDevice(
            f"{said}: {f'there is no {absent}' if gpus.names else gpus.reason}. Devices of this machine: {gpus}"
        )
    _tell(places, gpus)
    return _named(places)


def _named(places: Sequence[str]) -> tuple[Device, ...]:
    counts = Counter(places)
    seen: Counter[str] = Counter()
    found = []
    for place in places:
        found.append(Device(place if counts[place] == 1 else f"{place}:{seen[place]}", place))
        seen[place] += 1
    return tuple(found)


def _tell(places: Sequence[str], gpus: Gpus) -> None:
    types = dict(zip(gpus.places, gpus.names, strict=True))
    logger.info("computing on %s", ", ".join(f"{place} ({types[place]})" for place in places))
    if len({types[place] for place in places}) > 1:
        logger.warning(
            "GPUs of different types round differently: the last bits of an answer depend on which computes it"
        )
