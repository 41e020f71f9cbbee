"""Training on the device: steps a second of the presets that take a GPU, and the paper's NICE by its own command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from bench.gpu.figures import PAPER, Figures
from bench.gpu.timing import seconds
from flows.nets.precision import exact_float32
from trainer.data import Splits
from trainer.presets import PRESETS, Preset
from trainer.run.device import choose_precision
from trainer.run.initial_state import fresh_state
from trainer.run.ranks import Ranks
from trainer.run.step import TrainingStep

WANTED_NATS = 1980.50
"""Of the NICE paper's experiment on MNIST (Dinh, Krueger & Bengio 2014, table 1)."""
_MINUTES = 1.0


def steps(figures: Figures) -> Iterator[dict[str, object]]:
    """Training steps a second on random pictures, as it is and as a CUDA graph."""
    torch.manual_seed(0)
    names = [preset for preset in PRESETS if preset.startswith("cifar10")]
    for name in names[:1] if figures.small else names:
        preset = PRESETS[name]
        if figures.small:
            if preset.smoke is None:
                continue
            preset = replace(preset, arguments={**preset.arguments, **preset.smoke.arguments}, batch_size=4)
        yield {"preset": name, "batch": preset.batch_size, **_steps(preset, figures)}


def nice(figures: Figures) -> Iterator[dict[str, object]]:
    """The paper's NICE on MNIST, trained, evaluated and published within a budget of minutes by the command."""
    if figures.data_dir is None:
        return
    command = [
        *(sys.executable, "-c", "from trainer.commands.train import main; main()", "mnist-nice"),
        *("--data-dir", str(figures.data_dir), "--store", str(figures.paper), "--name", PAPER),
        *("--run-dir", str(figures.folder / "run"), "--device", figures.device.type),
        *(("--limit", "1000", "--epochs", "1") if figures.small else ("--minutes", str(_MINUTES))),
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    manifest = json.loads((figures.paper / PAPER / "1" / "manifest.json").read_text("utf-8"))
    yield {
        "preset": "mnist-nice",
        "test_nats": manifest["quality"]["test"]["log_likelihood"],
        "wanted_nats": WANTED_NATS,
        "seconds": took,
        "training_seconds": manifest["provenance"]["training_seconds"],
        "epochs": manifest["provenance"]["epochs"],
    }


def _steps(preset: Preset, figures: Figures) -> dict[str, object]:
    side, device = (preset.arguments.get("side", 32), figures.device)
    count = max(preset.batch_size, 64 if figures.small else preset.initial_items)
    pictures = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8)
    splits = Splits(pictures, pictures[:1], pictures[:1])
    found: dict[str, object] = {}
    with exact_float32():
        for way, graph in (("eager", False), ("graph", True)):
            if graph and device.type != "cuda":
                continue
            state, said = fresh_state(preset, splits, 0, device), list[str]()
            items = pictures.to(device)
            precision = choose_precision(preset.precision, device)
            step = TrainingStep(state, state.flow, items, preset, precision, Ranks(device))
            step.prepare(graph=graph, say=said.append)
            rows = torch.arange(preset.batch_size, device=device)
            took = seconds(lambda: step(rows, rows, 0, 1e-4), device, budget=0.1 if figures.small else 1.0, rounds=3)  # noqa: B023
            found |= {f"{way}_steps_per_second": 1 / took, "precision": precision}
            if said:
                found["said"] = said
    return found
