"""Rows scored a second through the Python client, beside npy bodies that httpx sends by hand.

    python -m bench.client

The service runs in processes of its own, and is the same for all. Each round times the client and both forms of the
request by hand, one after another in turn, so that whatever else the machine does meets all alike; a ratio is that of
one round, and what is printed is the median over the rounds with the least and the greatest.

- *npy by hand*: bodies of as many rows as one request takes, sent one after another; answers are received and dropped.
- *npy and JSON by hand*: the same, and `json()` of each answer, which leaves dictionaries.
- *client*: ``Client.score``, which leaves a table of columns.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import httpx
import numpy as np
from sluice_client import Client

from bench import page, serving
from model_store import default_root

_COMMAND = "python -m bench.client"
_MODEL = "moons"
_AT_ONCE = 10_000
"""The service's own limit of items in a request, at its default setting."""
BY_HAND, WITH_JSON, CLIENT = "npy by hand", "npy and JSON by hand", "client"


def main() -> None:
    """The command line."""
    _command()


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--rows", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--into", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A page to renew.")
def _command(rows: int, rounds: int, into: Path | None) -> None:
    points = _points(rows)
    with serving.served(default_root(), default_model=_MODEL) as (_, address):
        measured = measure(address, points, rounds)
    figures = report(measured, rows)
    print(figures)
    if into is not None:
        page.write_into(into, _COMMAND, figures)


def measure(address: str, points: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round that is not counted."""
    bodies = [_npy(points[start : start + _AT_ONCE]) for start in range(0, len(points), _AT_ONCE)]
    with httpx.Client(base_url=address, timeout=60) as http, Client(address) as client:
        ways: Mapping[str, Callable[[], int]] = {
            BY_HAND: lambda: sum(len(_post(http, body).content) > 0 for body in bodies),
            WITH_JSON: lambda: sum(len(_post(http, body).json()["items"]) for body in bodies),
            CLIENT: lambda: len(client.score(points, model=_MODEL)),
        }
        expected = {BY_HAND: len(bodies), WITH_JSON: len(points), CLIENT: len(points)}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            order = list(ways) if turn % 2 else list(ways)[::-1]
            for name in order:
                began = time.perf_counter()
                done = ways[name]()
                took = time.perf_counter() - began
                if done != expected[name]:
                    raise RuntimeError(f"{name}: {done} answers where {expected[name]} were due")
                if turn:
                    seconds[name].append(took)
    return seconds


def report(seconds: Mapping[str, Sequence[float]], rows: int) -> str:
    """The table of the page."""
    lines = ["| way | rows a second, median | client's share of it |", "|---|---:|---:|"]
    for name, took in seconds.items():
        rate = rows / statistics.median(took)
        shares = [one / other for one, other in zip(took, seconds[CLIENT], strict=True)]
        told = "" if name == CLIENT else f"{statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"
        lines.append(f"| {name} | {rate:,.0f} | {told} |")
    return "\n".join(lines)


def _post(http: httpx.Client, body: bytes) -> httpx.Response:
    answer = http.post("/score", params={"model": _MODEL}, content=body, headers={"content-type": "application/x-npy"})
    answer.raise_for_status()
    return answer


def _points(rows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 2)).astype(np.float32)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


if __name__ == "__main__":
    main()
