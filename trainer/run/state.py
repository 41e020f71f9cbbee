"""The state of a run, and the file from which a stopped run continues.

The file is safetensors with the rest of the state as JSON in its header, so nothing is unpickled and one rename
replaces everything at once. Random draws (see trainer/run/randomness.py) and the learning rate follow from the step and
need no state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from flows import Flow
from trainer.errors import RunStateError
from trainer.optimisers import FusedAdamW

FILE = "state.safetensors"


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The mean log-likelihood of the validation split in nats, after an epoch. Epoch 0 is the initial state."""

    epoch: int
    validation: float


@dataclass(frozen=True, kw_only=True)
class EpochRecord(Validation):
    """The result of one epoch: mean log-likelihoods in nats, seconds spent on its steps, skipped steps."""

    train: float
    seconds: float
    skipped: int
    device: str = ""
    """What computed its last step; empty in states of older versions."""


@dataclass
class Progress:
    """How far a run has come. ``step`` and the sums count from the beginning of the current epoch."""

    epoch: int = 0
    step: int = 0
    log_likelihood_sum: float = 0.0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    spent: float = 0.0
    """Wall-clock seconds of the whole run so far, with all that is no step."""
    finished: bool = False
    """Whether the run went to its end."""
    rate: float = 0.0
    """The learning rate of the last step."""
    history: list[EpochRecord] = field(default_factory=list)
    initial: Validation | None = None
    """The validation before the first step; None where it decides nothing, and in states of older versions."""

    @property
    def best(self) -> Validation | None:
        """The best validation so far, the earlier of equal ones."""
        candidates = [*([self.initial] if self.initial else []), *self.history]
        return max(candidates, key=lambda candidate: candidate.validation, default=None)


@dataclass
class TrainingState:
    """A run in memory."""

    flow: Flow
    optimiser: FusedAdamW
    average: Flow | None = None
    """A second flow whose weights are the moving average of the first's, where the preset asks for one."""
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)
    """The evaluated weights with the highest validation likelihood so far, the initial ones included."""

    @property
    def evaluated(self) -> Flow:
        """The flow that is validated and kept: the average where there is one."""
        return self.flow if self.average is None else self.average

    def update_average(self, share: Tensor) -> None:
        """average <- (1 - share) * average + share * flow, for every parameter; ``share`` is a scalar."""
        if self.average is None:
            return
        averages, weights = self._averaged
        with torch.no_grad():
            if share.device.type == "cpu":
                torch._foreach_lerp_(averages, weights, float(share))
            else:  # the host does not wait for the share
                steps: Any = torch._foreach_mul(torch._foreach_sub(weights, averages), share)
                torch._foreach_add_(averages, steps)

    @cached_property
    def _averaged(self) -> tuple[list[Any], list[Any]]:
        """The parameters of the average and of the flow: to walk through the modules takes as long as to add up."""
        return list(self.evaluated.parameters()), list(self.flow.parameters())

    def keep_best(self) -> None:
        """Remember the evaluated weights as the best so far."""
        self.best = {name: tensor.clone() for name, tensor in self.evaluated.state_dict().items()}

    def save(self, directory: Path, experiment: Mapping[str, Any], launch: str | None = None) -> None:
        """Replace the state in the run directory. ``experiment`` describes what it is the state of.

        ``launch`` names the launch of torchrun that writes it, where there is one.

        Raises RunStateError when it cannot be written; the state before it is then still there.
        """
        tensors = {f"flow/{name}": tensor for name, tensor in self.flow.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        if self.average is not None:
            tensors |= {f"average/{name}": tensor for name, tensor in self.average.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{name}": tensor for name, tensor in moments.items()}
        header = {"experiment": json.dumps(experiment), "progress": json.dumps(asdict(self.progress))}
        header |= {} if launch is None else {"launch": launch}
        temporary = directory / f".{FILE}.partial"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, header)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(directory / FILE)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                temporary.unlink()
            raise RunStateError(
                f"{directory}: the state of the run cannot be written: {error}; make room, or name another folder "
                "with --run-dir, and give the same command again: it continues after the last state that was written"
            ) from error

    def restore(self, directory: Path, experiment: Mapping[str, Any]) -> None:
        """Restore what ``save`` wrote, bit for bit.

        Raises RunStateError when the file is damaged, or when it was saved for another ``experiment``.
        """
        path = directory / FILE
        try:
            with safe_open(path, "pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            saved, progress = json.loads(header["experiment"]), json.loads(header["progress"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunStateError(f"{path}: not the state of a run: {error}") from error
        # A field that did not exist when the state was saved had its default, which is None or false.
        differing = [
            key for key in experiment if (saved.get(key) or None) != (json.loads(json.dumps(experiment[key])) or None)
        ]
        if differing:
            raise RunStateError(
                f"{path}: from another experiment ({', '.join(differing)} differ); --fresh starts from the beginning"
            )
        history = [EpochRecord(**record) for record in progress.pop("history")]
        initial = progress.pop("initial", None)
        self.progress = Progress(**progress, history=history, initial=Validation(**initial) if initial else None)
        self.flow.load_state_dict(_below("flow/", tensors))
        if self.average is not None:
            self.average.load_state_dict(_below("average/", tensors))
        self.best = {name: tensor.to(self.flow.device) for name, tensor in _below("best/", tensors).items()}
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below("optimiser/", tensors).items():
            index, key = name.split("/")
            # Kernels of the optimiser go through memory: moments must lie there like their parameter.
            like = parameters[int(index)]
            laid = tensor if tensor.ndim == 0 else torch.empty_like(like, requires_grad=False).copy_(tensor)
            moments.setdefault(int(index), {})[key] = laid
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})


def launch_of(path: Path) -> str | None:
    """The launch of torchrun that wrote a state; None for one that none wrote, or that cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("launch")
    except (OSError, SafetensorError):
        return None


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
