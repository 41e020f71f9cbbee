"""What a run is asked for, and what it has found so far: written to disk after each section."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
PAPER = "mnist-nice-paper"


@dataclass
class Figures:
    """A run on one device. ``small`` takes a few seconds on a CPU, and its figures mean nothing."""

    device: torch.device
    small: bool
    store: Path
    data_dir: Path | None
    json: Path | None
    folder: Path
    """For files of this run."""
    sections: dict[str, list[Row]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def paper(self) -> Path:
        """A store with the paper's NICE, once the section ``nice`` has trained it."""
        return self.folder / "paper"

    @property
    def card(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"

    def ceiling(self, what: str, unit: str) -> float | None:
        """A rate of the section ``ceilings``, where that was run."""
        found = [row[unit] for row in self.sections.get("ceilings", []) if row["what"] == what]
        return float(found[0]) if found else None

    def add(self, section: str, row: Row) -> None:
        self.sections.setdefault(section, []).append(row)

    def write(self) -> None:
        """Keep what there is: a run that is cut short loses one section at most."""
        if self.json is not None:
            about = {"card": self.card, "torch": torch.__version__, "seconds": time.monotonic() - self.began}
            self.json.parent.mkdir(parents=True, exist_ok=True)
            self.json.write_text(json.dumps({"about": about, **self.sections}, indent=1), "utf-8")
