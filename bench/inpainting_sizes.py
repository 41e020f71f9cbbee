"""What an inpainting of larger and of coloured pictures takes beside `mnist`, and a draw of 64x64 in colour.

    .venv/bin/python -m bench.inpainting_sizes [--steps N] [--rounds N] [--models NAME ...] [--into PAGE]

Flows of the shapes that `sluice-train pictures` and the preset `cifar10` build, with random weights: the time of a step
and of a draw does not depend on them. Each is published beside the shipped `mnist`. One request at a time fills in the
middle quarter of a picture by the default method; each round asks all models in turn, and the medians of times and of
ratios are printed. A request for `mnist` follows each of the others, so that the two of a ratio are neighbours.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

import flows
from bench import page
from bench.inpainting_speed import seconds_of
from bench.serving import started, wait_until_loaded
from flows import Flow
from flows.anomaly import PictureCalibration
from flows.anomaly.readings import readings
from flows.architectures.lattice_flow import LatticeFlow
from flows.tiles import TiledDensity
from model_store import (
    CalibrationEvidence,
    PicturesNote,
    Publication,
    Store,
    default_root,
    measure_bfloat16,
    publish,
)
from trainer.presets.cifar10 import LATTICE
from trainer.presets.pictures import PICTURES

MARK = "python -m bench.inpainting_sizes"
_PIXELS = 28 * 28


@dataclass(frozen=True)
class Case:
    """A model that is measured: its name in the store, and the preset whose flow it has at a shape."""

    name: str
    preset: str
    shape: tuple[int, ...]

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def colours(self) -> int:
        return self.shape[2] if len(self.shape) > 2 else 1

    @property
    def size(self) -> str:
        return "x".join(map(str, self.shape))

    def publish(self, store: Path) -> None:
        """Publish it with random weights, as the trainer publishes trained ones."""
        preset = PICTURES if self.preset == "pictures" else LATTICE
        flow = _random(self.shape, preset.arguments)
        # Of noise of full contrast, what a linear guess of each pixel rounds would grow from level to level.
        items = torch.randint(112, 144, (64, *self.shape), dtype=torch.uint8)
        publication: dict[str, Any] = {
            "flow": flow,
            "architecture": preset.architecture,
            "arguments": preset.arguments,
            "golden_items": items[:8],
            "draws": items,
        }
        if self.preset == "pictures":
            sides = self.shape[:2]
            calm = [readings(torch.rand(self.shape), torch.randn(sides), torch.rand(sides))] * 30
            densities = [TiledDensity(flow), *(TiledDensity(_random(self.shape, preset.arguments)) for _ in range(2))]
            calibration = PictureCalibration.of_readings(densities, calm, torch.arange(30) % 3)
            longest = max(self.shape[:2])
            publication["calibration"] = CalibrationEvidence(calibration=calibration, source="random numbers")
            publication["pictures"] = PicturesNote(longest=longest, bits=8, shortest_side=longest, longest_side=longest)
        else:
            publication["bfloat16"] = measure_bfloat16(flow, items[:8])
        publish(store, self.name, Publication(**publication))


CASES = (
    Case("pictures-32", "pictures", (32, 32, 3)),
    Case("pictures-64", "pictures", (64, 64, 3)),
    Case("pictures-64-grey", "pictures", (64, 64)),
    Case("cifar10-32", "cifar10", (32, 32, 3)),
    Case("cifar10-64", "cifar10", (64, 64, 3)),
)
MNIST = Case("mnist", "mnist", (28, 28))


def _random(shape: tuple[int, ...], arguments: Any) -> LatticeFlow:
    """A flow whose densities are not all alike: its last layers start at zero, and get small random weights."""
    flow = flows.lattice(shape, **arguments).eval().requires_grad_(False)
    assert isinstance(flow, LatticeFlow)
    for name, parameter in flow.named_parameters():
        if ".last." in name and name.endswith("weight"):
            parameter.normal_(std=0.02)
    return flow


class Client:
    """One connection to the service."""

    def __init__(self, address: str, steps: int) -> None:
        url = urlsplit(address)
        self._connection = HTTPConnection(url.hostname or "", url.port, timeout=600)
        self._steps = steps

    def inpaint(self, case: Case) -> None:
        """Fill in the middle quarter of a picture."""
        height, width = case.shape[:2]
        picture = np.random.default_rng(0).random(case.shape, dtype=np.float32)
        picture[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = np.nan
        stream = io.BytesIO()
        np.save(stream, picture)
        self._post(f"/inpaint?model={case.name}&steps={self._steps}&seed=1", stream.getvalue())

    def sample(self, case: Case) -> None:
        self._post(f"/sample?model={case.name}&n=1&seed=1", b"")

    def _post(self, path: str, body: bytes) -> None:
        headers = {"accept": "application/x-npy"} | ({"content-type": "application/x-npy"} if body else {})
        self._connection.request("POST", path, body, headers)
        with self._connection.getresponse() as answer:
            told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {told[:200]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=[case.name for case in CASES], help="all by default")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    cases = [case for case in CASES if options.models is None or case.name in options.models]
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store")
        shutil.copytree(default_root() / "mnist", store / "mnist")
        for case in cases:
            case.publish(store)
        table = _measured(store, cases, options.steps, options.rounds)
    print(table)
    if options.into:
        page.write_into(options.into, MARK, table)


def _measured(store: Path, cases: Sequence[Case], steps: int, rounds: int) -> str:
    """The table, in Markdown."""
    opened = Store(store)
    bare = {case: opened.load(*opened.resolve(case.name)).flow for case in cases}
    inpaint: dict[Case, list[tuple[float, float]]] = {case: [] for case in cases}
    draws: dict[Case, list[tuple[float, float]]] = {case: [] for case in cases}
    with started(store, default_model="mnist") as (process, address):
        wait_until_loaded(process, address, [MNIST.name, *(case.name for case in cases)])
        client = Client(address, steps)
        for number in range(rounds + 1):
            for case in cases:
                pair = seconds_of(partial(client.inpaint, case)), seconds_of(partial(client.inpaint, MNIST))
                drawn = seconds_of(partial(client.sample, case)), seconds_of(partial(_draw, bare[case]))
                if number:  # the first warms up
                    inpaint[case].append(pair)
                    draws[case].append(drawn)
    lines = [
        f"{steps} steps of `ascent`, the middle quarter hidden, one request at a time, at most "
        f"{torch.get_num_threads()} threads; medians of {rounds} rounds:\n",
        "| flow of | picture | ms a step | µs a step and hidden pixel | beside `mnist`, a pixel | a value | "
        "a draw by `/sample`, s | by the flow alone, s |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        _row(MNIST, [(base, base) for pairs in inpaint.values() for _, base in pairs], [], steps),
    ]
    lines += [_row(case, inpaint[case], draws[case], steps) for case in cases]
    return "\n".join(lines)


def _draw(flow: Flow) -> None:
    flow.sample(1)


def _row(case: Case, pairs: list[tuple[float, float]], draws: list[tuple[float, float]], steps: int) -> str:
    step = statistics.median(own for own, _ in pairs) / steps
    ratio = statistics.median(own / base for own, base in pairs) * _PIXELS / case.pixels
    drawn = [f"{statistics.median(each):.2f}" for each in zip(*draws, strict=True)] or ["-", "-"]
    return (
        f"| `{case.preset}` | {case.size} | {1e3 * step:.0f} | {4e6 * step / case.pixels:.0f} | {ratio:.2f} | "
        f"{ratio / case.colours:.2f} | {drawn[0]} | {drawn[1]} |"
    )


if __name__ == "__main__":
    main()
