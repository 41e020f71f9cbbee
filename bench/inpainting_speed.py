"""What continuous batching is worth: inpaintings at once and one after another, beside a bare loop.

    .venv/bin/python -m bench.inpainting_speed --data-dir DIR [--store DIR] [--model NAME] [--into PAGE]

DIR holds mnist/ as its official idx files. 32 requests of 100 steps each, npy in and npy out. Each round measures the
three ways in turn; the medians of times and of ratios are printed.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor

from bench import page
from bench.serving import served
from bench.side_by_side.load import Request
from flows import Flow, inpainting, noise
from flows.nets.precision import multiplies_bfloat16
from model_store import Store, default_root
from trainer.data import idx

REQUESTS, STEPS = 32, 100


class Work:
    """The lower halves of REQUESTS digits, completed by a bare loop or by a service that has the same model."""

    def __init__(self, flow: Flow, survey: inpainting.Survey, model: str, digits: Tensor) -> None:
        self._flow, self._survey, self._model = flow, survey, model
        digits = digits[:REQUESTS]
        self._x = flow.to_continuous(digits)
        hidden = torch.zeros(28, 28, dtype=torch.bool)
        hidden[14:] = True
        self._hidden = hidden.expand_as(self._x)
        # Not a number stands for a hidden pixel.
        self._bodies = [_npy(np.where(hidden, np.nan, digit.numpy() / 255).astype(np.float32)) for digit in digits]

    def bare(self) -> None:
        """All of them as one batch."""
        keys = noise.keys(0, len(self._x))
        rows = inpainting.start(self._flow, self._x, self._hidden, keys, survey=self._survey, steps=STEPS)
        while not bool(rows.done.all()):
            rows = inpainting.step(self._flow, rows)

    def at_once(self, address: str) -> None:
        """All sent before the first answer is read."""
        with self._connected(address, REQUESTS) as connections:
            for connection, body in zip(connections, self._bodies, strict=True):
                self._send(connection, body)
            for connection in connections:
                _read(connection)

    def one_after_another(self, address: str) -> None:
        with self._connected(address, 1) as (connection,):
            for body in self._bodies:
                self._send(connection, body)
                _read(connection)

    def request(self, steps: int) -> Request:
        """The first of them, with so many steps."""
        query = f"model={self._model}&steps={steps}&seed=1"
        headers = {"content-type": "application/x-npy", "accept": "application/x-npy"}
        return Request(f"/inpaint?{query}", self._bodies[0], headers)

    @contextmanager
    def _connected(self, address: str, count: int) -> Iterator[list[HTTPConnection]]:
        """Plain connections and no threads: a client takes from the same cores as the service beside it."""
        url = urlsplit(address)
        with ExitStack() as closing:
            connections = [HTTPConnection(url.hostname or "", url.port, timeout=600) for _ in range(count)]
            for connection in connections:
                closing.callback(connection.close)
                connection.connect()
            yield connections

    def _send(self, connection: HTTPConnection, body: bytes) -> None:
        request = self.request(STEPS)
        connection.request("POST", request.path, body, dict(request.headers))


def _read(connection: HTTPConnection) -> None:
    with connection.getresponse() as answer:
        body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {body[:200]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--model", default="mnist-nice")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()

    store = Store(options.store)
    fast = multiplies_bfloat16(torch.device("cpu"))  # as the service chooses
    model = store.load(*store.resolve(options.model), bfloat16=fast)
    digits = idx.read(options.data_dir / "mnist" / "t10k-images-idx3-ubyte.gz")
    work = Work(model.serving, model.survey, options.model, digits)

    with served(options.store) as (_, address):
        rounds = []
        for number in range(options.rounds + 1):
            ways = (work.bare, lambda: work.at_once(address), lambda: work.one_after_another(address))
            seconds = [seconds_of(way) for way in ways]
            if number:  # the first warms up
                rounds.append(seconds)

    lines = [
        f"{REQUESTS} requests of {STEPS} steps each to {options.model}, {torch.get_num_threads()} threads:\n",
        "| | seconds | image-steps/s |\n|---|---|---|",
    ]
    for number, way in enumerate(("bare loop, one batch", "service, at once", "service, one after another")):
        median = statistics.median(seconds[number] for seconds in rounds)
        lines.append(f"| {way} | {median:.2f} | {REQUESTS * STEPS / median:,.0f} |")
    apart = statistics.median(b / c for _, b, c in rounds)
    within = sorted(a / b for a, b, _ in rounds)
    median = statistics.median(within)
    lines += [
        f"\nAt once takes {apart:.3f} of the time of one after another, and reaches {median:.0%} of the",
        f"bare loop's image-steps/s ({within[0]:.0%} to {within[-1]:.0%} in {len(rounds)} rounds).",
    ]
    print("\n".join(lines))
    if options.into:
        page.write_into(options.into, "make bench-inpainting: speed", "\n".join(lines))


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def seconds_of(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
