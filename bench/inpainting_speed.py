"""What continuous batching is worth: inpaintings at once and one after another, beside a bare loop.

    .venv/bin/python -m bench.inpainting_speed --data-dir DIR [--store DIR] [--model NAME]

DIR holds mnist/ as its official idx files. 32 requests of 100 steps each, npy in and npy out. Each round measures the
three ways in turn; the medians of times and of ratios are printed.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import torch

from bench.serving import served
from flows import inpainting, noise
from model_store import Store, default_root
from trainer.data import idx

REQUESTS, STEPS = 32, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--model", default="mnist-nice")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    store = Store(options.store)
    flow = store.load(*store.resolve(options.model)).flow
    digits = idx.read(options.data_dir / "mnist" / "t10k-images-idx3-ubyte.gz")[:REQUESTS]
    hidden = torch.zeros(28, 28, dtype=torch.bool)
    hidden[14:] = True
    x = flow.to_continuous(digits)
    # Not a number stands for a hidden pixel.
    bodies = [_npy(np.where(hidden, np.nan, digit.numpy() / 255).astype(np.float32)) for digit in digits]

    def bare() -> None:
        rows = inpainting.start(flow, x, hidden.expand_as(x), noise.keys(0, len(x)), steps=STEPS)
        while not bool(rows.done.all()):
            rows = inpainting.step(flow, rows)

    with served(options.store) as (_, address), httpx.Client(timeout=600, limits=httpx.Limits()) as client:

        def ask(body: bytes) -> None:
            client.post(
                f"{address}/inpaint",
                params={"model": options.model, "steps": STEPS, "seed": 1},
                content=body,
                headers={"content-type": "application/x-npy", "accept": "application/x-npy"},
            ).raise_for_status()

        def at_once() -> None:
            with ThreadPoolExecutor(REQUESTS) as pool:
                list(pool.map(ask, bodies))

        def one_after_another() -> None:
            for body in bodies:
                ask(body)

        rounds = []
        for number in range(options.rounds + 1):
            seconds = [_seconds(work) for work in (bare, at_once, one_after_another)]
            if number:  # the first warms up
                rounds.append(seconds)

    print(f"## {REQUESTS} inpaintings of {STEPS} steps with {options.model}, {torch.get_num_threads()} threads\n")
    print("| | seconds | image-steps/s |\n|---|---|---|")
    for number, way in enumerate(("bare loop, one batch", "service, at once", "service, one after another")):
        median = statistics.median(seconds[number] for seconds in rounds)
        print(f"| {way} | {median:.2f} | {REQUESTS * STEPS / median:,.0f} |")
    apart = statistics.median(b / c for _, b, c in rounds)
    within = statistics.median(a / b for a, b, _ in rounds)
    print(f"\nAt once takes {apart:.3f} of the time of one after another, and reaches {within:.0%} of the bare loop's")
    print("image-steps/s.")


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
