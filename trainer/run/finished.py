"""A finished run: the flow with its best weights, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from flows import Flow
from trainer.data import Splits
from trainer.presets import Preset
from trainer.run.device import device_name
from trainer.run.settings import RunSettings
from trainer.run.state import EpochRecord, Validation


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended, with its best weights in ``flow``: of an epoch or a mean. Epoch 0 is the initial state."""

    flow: Flow
    preset: Preset
    settings: RunSettings
    splits: Splits
    history: list[EpochRecord]
    best: Validation
    initial: Validation | None = None
    """The validation before the first step, where it was a candidate for the best."""
    mean: float | None = None
    """The validation of the mean of the start's weights and the last ones, in nats, where ``flow`` has that."""

    def provenance(self) -> dict[str, str | int | float]:
        """Where the weights come from, as the manifest and the card state it."""
        trained_on = dict.fromkeys(record.device for record in self.history if record.device)
        start = self.settings.start
        return {
            "command": self.settings.command,
            "preset": self.preset.name,
            "data": self.preset.data.name,
            "seed": self.settings.seed,
            "epochs": len(self.history),
            "kept_epoch": self.best.epoch if self.mean is None else len(self.history),
            **({"mean_with": start.reference} if start is not None and self.mean is not None else {}),
            "training_items": len(self.splits.train),
            "training_seconds": round(sum(record.seconds for record in self.history), 1),
            "skipped_steps": sum(record.skipped for record in self.history),
            "device": ", ".join(trained_on) or device_name(self.flow.device),
            "precision": self.settings.computing.precision,
            "torch": torch.__version__,
            "sluice": own_version(),
        }


def own_version() -> str:
    """The installed version of Sluice; a tree may also run without being installed."""
    try:
        return version("sluice")
    except PackageNotFoundError:
        return "source tree"
