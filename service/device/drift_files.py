"""The file that keeps the state of the martingales over restarts: counts and capitals, never an item."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from flows.anomaly import BLOCK, LEVELS, Martingales
from flows.anomaly.martingales import MEMORIES, PARTITIONS
from model_store import LoadedModel
from model_store.manifest import CALIBRATION

logger = logging.getLogger("sluice")

_EVERY = 10.0
"""Seconds between two writes. After a kill, items of so long are not counted, which makes no alarm false."""
_LARGEST = 256 * 2**20
"""Bytes of a file that is read."""
_BETS = hashlib.sha256(repr((LEVELS, MEMORIES, PARTITIONS, BLOCK)).encode()).hexdigest()
"""Tells states of other bets apart, which cannot be continued."""


class _Array(Struct):
    shape: tuple[int, ...]
    data: bytes


class KeptDrift(Struct):
    """The state of one watch."""

    began: float
    items: int
    below: list[int]
    low_at: list[float]
    arrays: dict[str, _Array]
    sum: float = 0.0

    @classmethod
    def of(
        cls, martingales: Martingales, began: float, items: int, below: list[int], low_at: list[float], total: float
    ) -> KeptDrift:
        arrays = {
            name: _Array(tuple(tensor.shape), tensor.numpy().tobytes())
            for name, tensor in martingales.tensors().items()
        }
        return cls(began, items, below, low_at, arrays, total)

    def read(self) -> dict[str, Tensor]:
        """The tensors of the martingales. Raises ValueError."""
        found = {}
        for name, array in self.arrays.items():
            flat = torch.frombuffer(bytearray(array.data), dtype=torch.float64)
            found[name] = flat.reshape(array.shape)
        return found


class _OfModel(Struct):
    calibration: str
    """sha256 of the file of the calibration: the state is worth nothing for another one."""
    keys: dict[str, KeptDrift]


class _Document(Struct):
    format: int
    bets: str
    models: dict[str, _OfModel]


class DriftFile:
    """The file of one device, `drift-NAME.msgpack` in a directory, which is made where there is none."""

    def __init__(self, directory: Path, device: str) -> None:
        name = "".join(letter if letter.isalnum() else "-" for letter in device) or "device"
        self._path = directory / f"drift-{name}.msgpack"
        self._models = self._read()
        self._calibrations: dict[str, str] = {}
        self._next = time.monotonic() + _EVERY
        self._complained = False

    def kept(self, model: LoadedModel) -> dict[str, KeptDrift]:
        """What was kept of a model, by key; nothing where it has another calibration now."""
        listed = model.manifest.files.get(CALIBRATION)
        self._calibrations[model.reference] = sha256 = "" if listed is None else listed.sha256
        found = self._models.get(model.reference)
        return dict(found.keys) if found is not None and found.calibration == sha256 else {}

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._next

    def write(self, watched: Mapping[str, Mapping[str, KeptDrift]]) -> None:
        """Replace the file. What was kept of models that are not watched now stays. A full disk is told once."""
        self._next = time.monotonic() + _EVERY
        for reference, keys in watched.items():
            if keys:
                self._models[reference] = _OfModel(self._calibrations[reference], dict(keys))
        draft = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Not synced: that can take seconds, for which requests would wait. A file that a loss of power leaves empty
            # is found to be damaged, and the martingales begin anew.
            draft.write_bytes(msgspec.msgpack.encode(_Document(1, _BETS, self._models)))
            draft.replace(self._path)
            self._complained = False
        except OSError as error:
            if not self._complained:
                logger.error("the state of the drift cannot be written to %s: %s", self._path, error.strerror or error)
            self._complained = True

    def _read(self) -> dict[str, _OfModel]:
        try:
            if self._path.stat().st_size > _LARGEST:
                raise ValueError(f"it is larger than {_LARGEST} bytes")
            found = msgspec.msgpack.decode(self._path.read_bytes(), type=_Document)
            for model in found.models.values():
                for kept in model.keys.values():
                    kept.read()
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RuntimeError, msgspec.MsgspecError) as error:
            logger.error("the state of the drift in %s cannot be read, and begins anew: %s", self._path, error)
            return {}
        if found.format != 1 or found.bets != _BETS:
            logger.warning("the state of the drift in %s is of another version of Sluice, and begins anew", self._path)
            return {}
        return found.models
