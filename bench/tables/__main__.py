"""Verdicts on real tables beside other detectors, into docs/tables.md: ``make bench-tables``.

    .venv/bin/python -m bench.tables [--short] [--splits N] [--table NAME ...] [--into PAGE]

The peers and the tables come from an environment of their own, bench/.envs/tables, which is made the first time. Large
tables get two splits. ``--short`` takes the small tables only, two splits of each, for a few minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import page
from bench.tables.figures import report
from bench.tables.ours import measured

_HERE = Path(__file__).parent
_ENVIRONMENT = _HERE.parent / ".envs" / "tables"
_LARGE = 400
"""Ordinary rows of a table that gets ``_FEW`` splits only."""
_FEW, _SPLITS = 2, 20
_CONTRIBUTIONS = 2
"""Splits of a table of which contributions are measured."""


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


def _job(arguments: tuple[str, np.ndarray, np.ndarray, int, bool]) -> Mapping[str, Any]:
    return measured(*arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=_SPLITS, help="of each small table")
    parser.add_argument("--short", action="store_true", help="small tables only, two splits of each")
    parser.add_argument("--table", action="append", help="a table; by default all")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    splits = _FEW if options.short else options.splits
    with tempfile.TemporaryDirectory() as folder:
        chosen = [word for name in options.table or () for word in ("--table", name)]
        command = [str(environment()), "-m", "bench.tables.peers", folder, "--splits", str(min(splits, 4)), *chosen]
        subprocess.run(command, check=True)
        peers = [json.loads(line) for line in (Path(folder) / "peers.jsonl").read_text("utf-8").splitlines()]
        rows = dict(np.load(Path(folder) / "tables.npz"))
    jobs = []
    for name in {line["table"]: None for line in peers}:
        ordinary, anomalous = rows[f"{name}/ordinary"], rows[f"{name}/anomalous"]
        if options.short and len(ordinary) > _LARGE:
            continue
        count = splits if len(ordinary) <= _LARGE else min(splits, _FEW)
        jobs += [(name, ordinary, anomalous, seed, seed < _CONTRIBUTIONS) for seed in range(count)]
    jobs.sort(key=lambda job: -len(job[1]))  # the long ones first, so that the processes end together
    ours = []
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for line in pool.imap_unordered(_job, jobs):
            print(f"{line['table']} split {line['seed']}: AUROC {line['auroc']:.3f}", file=sys.stderr, flush=True)
            ours.append(line)
    figures = "\n".join(report(ours, peers))
    print(figures)
    if options.into:
        page.write_into(options.into, "make bench-tables", figures)


if __name__ == "__main__":
    main()
