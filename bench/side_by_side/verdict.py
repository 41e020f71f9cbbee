"""What a verdict costs at `/score`: a model that ships, beside a copy of the same version without its calibration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from bench.serving import started, wait_until_loaded, wait_until_ready
from bench.side_by_side.contenders import score_request
from bench.side_by_side.load import Load, drive
from bench.side_by_side.published_model import digits
from bench.side_by_side.report import Row
from bench.side_by_side.shipped_models import copy

MODEL = "mnist-nice"
BARE = f"{MODEL}-bare"
_CONNECTIONS = 32
_SHARE = 0.8


def rows(seconds: float, rounds: int) -> Iterator[Row]:
    """Rates of both models on one server, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy(MODEL, root)
        copy(MODEL, root, BARE, calibrated=False)
        with started(root, drain_delay="0", default_model=MODEL) as (process, address):
            wait_until_ready(process, address)
            wait_until_loaded(process, address, (MODEL, BARE))
            found = [(_drive(address, MODEL, seconds), _drive(address, BARE, seconds)) for _ in range(rounds + 1)]
    # The first round warms up.
    judged, bare = (fmean(load.rate for load in column) for column in zip(*found[1:], strict=True))
    failures = sum(load.failures for loads in found for load in loads)
    reached = f"{judged / bare:.0%}: {judged:,.0f} of {bare:,.0f} requests/s"
    if failures:
        reached += f", {failures} requests failed"
    yield Row(
        f"`/score` with verdict (`{MODEL}`), one PNG, {_CONNECTIONS} connections",
        f"{_SHARE:.0%} of the same model's without calibration",
        reached,
        judged >= _SHARE * bare and not failures,
    )


def _drive(address: str, model: str, seconds: float) -> Load:
    return drive(address, score_request(digits()[1][0], f"&model={model}"), _CONNECTIONS, seconds)
