"""What a finished run amounts to: the flow with its best weights, and how they came to be."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version

import torch

from flows import Flow
from trainer.data import Splits
from trainer.preset import Preset
from trainer.state import EpochRecord


@dataclass(frozen=True)
class Finished:
    """A run with its best weights in ``flow``; ``command`` is what repeats it, without the user's own paths."""

    flow: Flow
    preset: Preset
    splits: Splits
    history: list[EpochRecord]
    best: EpochRecord
    seed: int
    precision: str
    command: str

    def provenance(self) -> dict[str, str | int | float]:
        """What the manifest and the card say about where the weights come from."""
        return {
            "command": self.command,
            "preset": self.preset.name,
            "data": self.preset.data.name,
            "seed": self.seed,
            "epochs": len(self.history),
            "kept_epoch": self.best.epoch,
            "training_items": len(self.splits.train),
            "training_seconds": round(sum(record.seconds for record in self.history), 1),
            "skipped_steps": sum(record.skipped for record in self.history),
            "device": _device_name(self.flow.device),
            "precision": self.precision,
            "torch": torch.__version__,
            "sluice": version("sluice"),
        }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
