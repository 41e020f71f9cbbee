"""A training step beside busy processes, by how long threads that wait for each other spin before they sleep.

    .venv/bin/python -m bench.busy_training [--busy 2] [--steps 6] [--into FILE]

Each case is a process of its own: the step of ``sluice-train pictures`` on crops of 40 x 40, with as many threads as
CPUs, as libgomp comes (``GOMP_SPINCOUNT`` unset) and as the trainer sets it, and with one thread. First alone, then
beside busy processes of the same priority. Prints Markdown. Needs a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from bench import page
from bench.side_by_side.neighbours import neighbours

_STEPS = """
import sys, time
import torch, flows
from trainer.presets.pictures import PICTURES
torch.set_num_threads(int(sys.argv[1]))
flow = flows.build("lattice", (40, 40), PICTURES.arguments)
items = torch.randint(0, 256, (PICTURES.batch_size, 40, 40), dtype=torch.uint8)
for step in range(1 + int(sys.argv[2])):
    began = time.perf_counter()
    flow.zero_grad()
    torch.autograd.backward(-flow.log_prob(flow.to_continuous(items, step)).mean())
    if step:
        print(time.perf_counter() - began, flush=True)
"""
_ROUNDS = 2


def seconds_of_a_step(threads: int, spins: str | None, steps: int) -> float:
    """The median of some steps in a new process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    if spins is not None:
        environment["GOMP_SPINCOUNT"] = spins
    command = [sys.executable, "-c", _STEPS, str(threads), str(steps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return median(map(float, done.stdout.split()))


def main() -> None:
    import trainer.commands  # noqa: F401  it sets what is measured

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=2, help="busy processes")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    cpus, spins = len(os.sched_getaffinity(0)), os.environ["GOMP_SPINCOUNT"]
    cases = {
        f"{cpus} threads, as libgomp comes": (cpus, None),
        f"{cpus} threads, as the trainer sets it": (cpus, spins),
        "one thread": (1, spins),
    }
    rows: dict[str, list[float]] = {name: [] for name in cases}
    for busy in (0, options.busy):
        with neighbours(busy):
            found: dict[str, list[float]] = {name: [] for name in cases}
            for _ in range(_ROUNDS):
                for name, case in cases.items():
                    found[name].append(seconds_of_a_step(*case, options.steps))
        for name, seconds in found.items():
            rows[name].append(min(seconds))
    base = rows["one thread"]
    lines = [
        f"| seconds of a step (times that of one thread) | alone | beside {options.busy} busy processes |",
        "|---|---:|---:|",
    ]
    for name, row in rows.items():
        each = [f"{seconds:.2f} ({seconds / one:.2f})" for seconds, one in zip(row, base, strict=True)]
        lines.append(f"| {name} | {' | '.join(each)} |")
    text = "\n".join(lines)
    print(text)
    if options.into:
        page.write_into(options.into, "python -m bench.busy_training", text)


if __name__ == "__main__":
    main()
