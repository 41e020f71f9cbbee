"""Verdicts on real tables beside other detectors, into docs/tables.md: ``make bench-tables``.

    .venv/bin/python -m bench.tables [--splits N] [--minutes M] [--table NAME ...] [--into PAGE]

The peers and the tables come from an environment of their own, bench/.envs/tables, which is made the first time. By
default a table gets twenty splits, and one of more than 10,000 ordinary rows two. Every split is kept in a folder as
soon as it is measured. A command that was stopped, or whose ``--minutes`` were over, goes on from there when it is
given again; figures of other code are measured anew.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import page
from bench.code_hash import code_hash
from bench.tables import peers_code
from bench.tables.figures import NOTHING, report
from bench.tables.jobs import SPLITS, done, jobs_of

_HERE = Path(__file__).parent
_ENVIRONMENT = _HERE.parent / ".envs" / "tables"
_PEERS_SPLITS = 4
MEASURED = (
    "flows/anomaly",
    "flows/architectures/__init__.py",
    "flows/architectures/arguments.py",
    "flows/architectures/table.py",
    "flows/completion.py",
    "flows/flow.py",
    "flows/nets/mlp.py",
    "flows/nets/net.py",
    "flows/noise.py",
    "flows/priors.py",
    "flows/stacked.py",
    "flows/transforms",
    "tables/kinds.py",
    "trainer/data/dataset.py",
    "trainer/data/groups.py",
    "trainer/data/own_data.py",
    "trainer/detector.py",
    "trainer/optimisers",
    "trainer/presets/preset.py",
    "trainer/presets/table.py",
    "trainer/publish/folds.py",
    "trainer/publish/row_calibration.py",
    "trainer/run/device.py",
    "trainer/run/display.py",
    "trainer/run/half_places.py",
    "trainer/run/hooks.py",
    "trainer/run/initial_state.py",
    "trainer/run/jitter.py",
    "trainer/run/length.py",
    "trainer/run/likelihoods.py",
    "trainer/run/loop.py",
    "trainer/run/randomness.py",
    "trainer/run/ranks.py",
    "trainer/run/settings.py",
    "trainer/run/stacked_training.py",
    "trainer/run/state.py",
    "trainer/run/step.py",
    "bench/tables/jobs.py",
    "bench/tables/ours.py",
    "bench/tables/real_tables.py",
    "bench/tables/splits.py",
)
"""The code that the figures depend on."""


def environment() -> Path:
    """The interpreter of the peers' environment, which is made if it is missing."""
    python, mark = _ENVIRONMENT / "bin" / "python", _ENVIRONMENT / ".complete"
    wanted = (_HERE / "requirements.txt").read_text("utf-8")
    if not mark.is_file() or mark.read_text("utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(_ENVIRONMENT)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(_HERE / "requirements.txt")], check=True)
        mark.write_text(wanted, "utf-8")
    return python


def lines_of(path: Path, code: str, before: str | None = None) -> list[dict[str, Any]]:
    """The lines of a file of results that this code measured, the latest of each kind.

    Lines that name no code are of the code ``before``.
    """
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = {
        (line["table"], line.get("seed"), line.get("missing")): line
        for line in lines
        if line.get("code", before) == code
    }
    return list(found.values())


def peers_of(folder: Path, chosen: list[str]) -> list[dict[str, Any]]:
    """The figures of the peers, which are measured where they are missing."""
    command = [str(environment()), "-m", "bench.tables.peers", str(folder), "--splits", str(_PEERS_SPLITS)]
    subprocess.run([*command, *(word for name in chosen for word in ("--table", name))], check=True)
    lines = lines_of(folder / "peers.jsonl", peers_code.present(), peers_code.BEFORE)
    return [line for line in lines if not chosen or line["table"] in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=SPLITS, help="of each table that is not the largest")
    parser.add_argument(
        "--minutes",
        type=float,
        help="begin nothing more after so many, without those of the peers; the figures are of what is done",
    )
    parser.add_argument("--table", action="append", default=[], help="a table; by default all")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--results", type=Path, default=Path("build/tables"), help="the folder of what is measured")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    page.refuse_parts(parser, options, "table")
    options.results.mkdir(parents=True, exist_ok=True)
    mine, kept = code_hash(MEASURED), options.results / "ours.jsonl"
    peers = peers_of(options.results, options.table)
    until = time.time() + 60 * options.minutes if options.minutes else math.inf
    rows = dict(np.load(options.results / "tables.npz"))
    names = list({line["table"]: None for line in peers})
    have = {(line["table"], line["seed"], line.get("missing")) for line in lines_of(kept, mine)}
    jobs = [job for job in jobs_of(rows, names, options.splits, until) if (job[0], job[3], job[4]) not in have]
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool, kept.open("a", encoding="utf-8") as file:
        for number, line in enumerate(pool.imap(done, jobs), 1):
            if line is None:
                continue
            file.write(json.dumps({**line, "code": mine}) + "\n")
            file.flush()
            gaps = f", {line['missing']:.0%} missing" if "missing" in line else ""
            said = f"{number}/{len(jobs)} {line['table']} split {line['seed']}{gaps}: AUROC {line['auroc']:.3f}"
            print(said, file=sys.stderr, flush=True)
    measured_lines = [line for line in lines_of(kept, mine) if line["table"] in names]
    figures = "\n".join(report(measured_lines, peers))
    print(figures)
    if options.into and figures != NOTHING:
        page.write_into(options.into, "make bench-tables", figures)


if __name__ == "__main__":
    main()
