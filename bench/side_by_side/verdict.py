"""What a verdict costs at `/score`: a model that ships, beside a copy of the same version without its calibration."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from bench.serving import started, wait_until_loaded
from bench.side_by_side.contenders import score_request
from bench.side_by_side.load import Load, drive
from bench.side_by_side.published_model import digits
from bench.side_by_side.report import Row
from model_store import Store, default_root
from model_store.manifest import CALIBRATION, MANIFEST

MODEL = "mnist-nice"
BARE = f"{MODEL}-bare"
_CONNECTIONS = 32
_SHARE = 0.8


def rows(seconds: float, rounds: int) -> Iterator[Row]:
    """Rates of both models on one server, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy(Store(default_root()), MODEL, root, MODEL, calibrated=True)
        copy(Store(default_root()), MODEL, root, BARE, calibrated=False)
        with started(root, drain_delay="0", default_model=MODEL) as (process, address):
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


def copy(store: Store, model: str, root: Path, name: str, *, calibrated: bool) -> None:
    """Copy the default version of a model into the store at ``root`` as ``name``@1, with its calibration or without."""
    _, version = store.resolve(model)
    target = root / name / "1"
    shutil.copytree(store.root / model / str(version), target)
    manifest = json.loads((target / MANIFEST).read_text("utf-8"))
    manifest |= {"name": name, "version": 1}
    if not calibrated:
        manifest["calibration"] = None
        manifest["files"].pop(CALIBRATION)
        (target / CALIBRATION).unlink()
    (target / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def _drive(address: str, model: str, seconds: float) -> Load:
    return drive(address, score_request(digits()[1][0], f"&model={model}"), _CONNECTIONS, seconds)
