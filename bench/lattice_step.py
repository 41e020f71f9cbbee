"""What a training step of a colour lattice flow costs, with a pass of a net for each colour and with one for all.

    python -m bench.lattice_step [--preset cifar10] [--width W] [--rounds 10] [--batch-size 16] [--threads 1]

Both flows have the preset's width, blocks and components, and all else as by default. They do the whole step of a run:
forward, backward, clipping, optimiser, moving average. Steps take turns, each round begun by the other, so that what
else the machine does hits both alike; the table gives medians. With one thread of a CPU it counts the thread's own
time, which leaves out interruptions. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from statistics import median

import torch

from flows.nets.precision import exact_float32
from trainer.data import Splits
from trainer.presets import PRESETS
from trainer.run.device import choose_precision
from trainer.run.initial_state import fresh_state
from trainer.run.randomness import noise_keys
from trainer.run.ranks import Ranks
from trainer.run.step import TrainingStep

SHAPE = (32, 32, 3)


def step_of(
    name: str, width: int | None, joint: bool, batch_size: int, device: torch.device, graph: bool
) -> TrainingStep:
    preset = PRESETS[name]
    own = {key: preset.arguments[key] for key in ("width", "blocks", "components")}
    arguments = {**own, "width": width or own["width"], "joint": joint}
    preset = replace(preset, batch_size=batch_size, arguments=arguments)
    items = torch.randint(0, 256, (2 * batch_size, *SHAPE), generator=torch.Generator().manual_seed(0)).byte()
    splits = Splits(items, items[:1], items[:1])
    state = fresh_state(preset, splits, 0, device)
    precision = choose_precision(preset.precision, device)
    step = TrainingStep(state, state.flow, items.to(device), preset, precision, Ranks(device))
    step.prepare(graph, print)
    return step


def seconds_of(step: TrainingStep, number: int) -> float:
    device, count = step.rows.device, len(step.rows)
    clock = time.perf_counter if device.type == "cuda" or torch.get_num_threads() > 1 else time.thread_time
    rows, keys = torch.arange(count, device=device), noise_keys(0, 0, number, count, device)
    float(step.sum)  # waits for the device
    began = clock()
    step(rows, keys, number, rate=1e-4)
    float(step.sum)
    return clock() - began


@exact_float32()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="cifar10")
    parser.add_argument("--width", type=int, help="channels of the nets, instead of the preset's")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-graph", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)

    steps = {
        kind: step_of(options.preset, options.width, joint, options.batch_size, device, not options.no_graph)
        for kind, joint in (("a pass for each colour", False), ("one pass for all", True))
    }
    taken: dict[str, list[float]] = {kind: [] for kind in steps}
    for turn in range(options.rounds + 2):
        for kind in list(steps)[:: 1 if turn % 2 else -1]:
            seconds = seconds_of(steps[kind], turn)
            if turn > 1:  # two rounds to warm up
                taken[kind].append(seconds)
    middle = {kind: median(seconds) for kind, seconds in taken.items()}
    print(
        f"{options.rounds} rounds, {options.threads} threads, batch {options.batch_size}, torch {torch.__version__}\n"
    )
    print("| | parameters | ms a step | of the first |\n|---|---:|---:|---:|")
    first = next(iter(middle.values()))
    for kind, step in steps.items():
        parameters = sum(parameter.numel() for parameter in step.parameters)
        print(f"| {kind} | {parameters:,} | {1e3 * middle[kind]:.1f} | {middle[kind] / first:.3f} |")


if __name__ == "__main__":
    main()
