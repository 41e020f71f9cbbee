"""How long reading and training take by the number of rows, into docs/tables.md: a part of ``make bench-tables``.

    .venv/bin/python -m bench.tables.large [--rows N ...] [--reading N] [--minutes M] [--results FOLDER] [--into PAGE]

Tables are made up, with ten columns: each is a normal number plus one that all share, so the true density is known.
Each size is trained on by ``sluice-train table --data FILE`` as a user gives it, in a process of its own with one
thread. Seconds are those of the processor, so that a busy machine adds little to them. What was measured is kept in a
folder, and is not measured again when the command is given once more; ``--again`` does so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import page

_COLUMNS = 10
_ROWS = (200, 2_000, 20_000)
_READ_ROWS = 1_000_000
_READINGS = 5
"""Times that the large table is read, each in a new process; the median counts."""
_DECIMALS = 6
_BLOCK = 100_000
TRUE_DENSITY = -_COLUMNS / 2 * math.log(2 * math.pi * math.e) - math.log(1 + _COLUMNS) / 2
"""The mean log-density of rows under the distribution that they are drawn from, nats: its covariance is I + 1 1^T."""
_READ = """
import json, re, sys, time
from pathlib import Path
from pyarrow import compute, csv
from tables.loading import load_table
began = time.process_time()
table = load_table(Path(sys.argv[1]))
seconds = time.process_time() - began
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"seconds": seconds, "peak": peak, "rows": len(table.entries)}))
"""
_TRAIN = "from trainer.commands.train import main; main()"


def written(path: Path, rows: int) -> None:
    """Write a CSV of so many rows."""
    generator = np.random.default_rng(rows)
    with path.open("w", encoding="ascii") as file:
        file.write(",".join(f"c{number}" for number in range(_COLUMNS)) + "\n")
        for start in range(0, rows, _BLOCK):
            size = min(_BLOCK, rows - start)
            block = generator.normal(size=(size, _COLUMNS)) + generator.normal(size=(size, 1))
            np.savetxt(file, block, fmt=f"%.{_DECIMALS}f", delimiter=",")


def read(path: Path) -> dict[str, Any]:
    """Median seconds of reading a table, and the peak memory of a process that does, with Python and its libraries.

    Seconds begin when Python and its libraries are there. One reading before fills the system's cache of the file.
    """
    command = [sys.executable, "-c", _READ, str(path)]
    found = [json.loads(subprocess.run(command, check=True, capture_output=True, env=_alone()).stdout)
             for _ in range(_READINGS + 1)][1:]  # fmt: skip
    return {
        "kind": "read",
        "rows": found[0]["rows"],
        "bytes": path.stat().st_size,
        "seconds": float(np.median([each["seconds"] for each in found])),
        "peak": max(each["peak"] for each in found),
    }


def trained(path: Path, rows: int, minutes: float | None = None) -> dict[str, Any]:
    """Seconds and quality of ``sluice-train table --data FILE`` on a file, in a folder that is then thrown away."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        # The child runs in another folder, where a relative path leads nowhere.
        options = ["table", "--data", str(path.resolve()), "--store", f"{folder}/models", "--name", "large"]
        options += ["--minutes", f"{minutes:g}"] if minutes else []
        began, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-c", _TRAIN, *options], check=True, cwd=folder, env=_alone(),
                       stdout=subprocess.DEVNULL)  # fmt: skip
        after = os.times()
        manifest = json.loads(Path(folder, "models/large/1/manifest.json").read_text("utf-8"))
    return {
        "kind": "train",
        "rows": rows,
        "minutes": minutes,
        "seconds": after.children_user + after.children_system - before.children_user - before.children_system,
        "wall": time.perf_counter() - began,
        "log_likelihood": manifest["quality"]["test"]["log_likelihood"],
        "standard_error": manifest["quality"]["test"]["standard_error"],
    }


def _alone() -> dict[str, str]:
    """The environment of a process with one thread that finds the packages of this checkout."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


def report(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The page's figures, in Markdown."""
    for line in lines:
        if line["kind"] == "read":
            speed, share = line["bytes"] / line["seconds"] / 1e6, line["peak"] / line["bytes"]
            yield (
                f"A CSV of {line['rows']:,} rows and {_COLUMNS} columns, {line['bytes'] / 1e6:.0f} MB, is read in "
                f"{line['seconds']:.2f} seconds of one core, once Python and its libraries are there: {speed:.0f} "
                f"MB/s. The process takes "
                f"{line['peak'] / 1e6:.0f} MB at most, {share:.2f} times the file, with Python and its libraries.\n"
            )
    yield "| rows | budget | seconds of one core | seconds in all | log-likelihood of test rows | of the true density |"
    yield "|---:|---|---:|---:|---:|---:|"
    for line in sorted((line for line in lines if line["kind"] == "train"), key=lambda line: line["rows"]):
        budget = f"{line['minutes']:g} minutes" if line["minutes"] else ""
        measured = f"{line['log_likelihood']:.3f} ± {line['standard_error']:.3f}"
        yield (
            f"| {line['rows']:,} | {budget} | {line['seconds']:.1f} | {line['wall']:.1f} "
            f"| {measured} | {TRUE_DENSITY:.3f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=list(_ROWS), help="sizes to train on")
    parser.add_argument("--reading", type=int, default=_READ_ROWS, help="rows of the table to read; 0 for none")
    parser.add_argument("--minutes", type=float, help="also train on the table to read, with this budget")
    parser.add_argument("--again", action="store_true", help="measure what was measured before")
    parser.add_argument("--results", type=Path, default=Path("build/tables"), help="the folder of what is measured")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    kept = options.results / "large.json"
    lines: list[dict[str, Any]] = json.loads(kept.read_text("utf-8")) if kept.is_file() and not options.again else []
    have = {(line["kind"], line["rows"], line.get("minutes")) for line in lines}
    wanted: list[tuple[str, int, float | None]] = [("train", rows, None) for rows in options.rows]
    if options.reading:
        wanted.insert(0, ("read", options.reading, None))
    if options.reading and options.minutes:
        wanted.append(("train", options.reading, options.minutes))
    for kind, rows, minutes in (each for each in wanted if each not in have):
        path = options.results / f"large-{rows}.csv"
        try:
            written(path, rows)
            lines.append(read(path) if kind == "read" else trained(path, rows, minutes))
        finally:
            path.unlink(missing_ok=True)
        kept.write_text(json.dumps(lines, indent=1), "utf-8")
        print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    figures = "\n".join(report(lines))
    print(figures)
    if options.into:
        page.write_into(options.into, "python -m bench.tables.large", figures)


if __name__ == "__main__":
    main()
