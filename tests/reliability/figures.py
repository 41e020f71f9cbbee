"""What the proofs counted: requests, faults, failures. And the command that writes it into the page.

    .venv/bin/python -m tests.reliability.figures [--json build/reliability.json] --into docs/reliability.md

`make test-reliability` collects the counts in the file that SLUICE_RELIABILITY_FIGURES names.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.page import write_into

FILE = "SLUICE_RELIABILITY_FIGURES"
COMMAND = "make test-reliability"
_LOCK = threading.Lock()


@dataclass
class Proof:
    """What one test counted. ``failures`` says in words what must not have happened; ``hold`` is the verdict."""

    requests: int = 0
    faults: int = 0
    failures: list[str] = field(default_factory=list)
    measured: dict[str, str] = field(default_factory=dict)
    """Other figures, by what they are."""

    def sent(self, requests: int = 1) -> None:
        with _LOCK:
            self.requests += requests

    def injected(self, faults: int = 1) -> None:
        with _LOCK:
            self.faults += faults

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a failure unless something holds."""
        if not holds:
            with _LOCK:
                self.failures.append(otherwise)

    def hold(self) -> None:
        assert not self.failures, f"{len(self.failures)} failures, the first: " + "; ".join(self.failures[:5])


@dataclass
class Row:
    """All runs of one test function."""

    runs: int = 0
    requests: int = 0
    faults: int = 0
    failures: int = 0
    seconds: float = 0.0
    measured: dict[str, str] = field(default_factory=dict)

    def add(self, proof: Proof, passed: bool, seconds: float) -> None:
        self.runs += 1
        self.requests += proof.requests
        self.faults += proof.faults
        self.failures += len(proof.failures) or int(not passed)
        self.seconds += seconds
        self.measured |= proof.measured


_current = Proof()


def current() -> Proof:
    """The proof of the test that runs; helpers count into it."""
    return _current


def begin() -> Proof:
    """A proof for the next test."""
    global _current
    _current = Proof()
    return _current


def save(rows: dict[str, Row], path: Path) -> None:
    """Put rows into a file, in the place of earlier ones of the same tests."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two workers may end at once
        file.seek(0)
        document = json.loads(file.read() or '{"tests": {}}')
        document["machine"] = f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}"
        document["tests"] |= {name: asdict(row) for name, row in rows.items()}
        file.truncate(0)
        json.dump(document, file, indent=1, sort_keys=True)


def table(document: dict[str, object]) -> str:
    """The counts as Markdown."""
    tests = document["tests"]
    assert isinstance(tests, dict)
    rows = {name: Row(**row) for name, row in sorted(tests.items())}
    lines = [
        "| test | runs | requests | faults | failures | seconds | measured |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, row in rows.items():
        measured = "; ".join(f"{what}: {value}" for what, value in sorted(row.measured.items()))
        counts = f"{row.runs} | {row.requests:,} | {row.faults:,} | {row.failures} | {row.seconds:.0f}"
        lines.append(f"| `{name}` | {counts} | {measured} |")
    every = list(rows.values())
    lines.append(
        f"| **all** | {sum(row.runs for row in every)} | {sum(row.requests for row in every):,} | "
        f"{sum(row.faults for row in every):,} | {sum(row.failures for row in every)} | "
        f"{sum(row.seconds for row in every):.0f} | {document['machine']} |"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("build/reliability.json"), help="what the proofs counted")
    parser.add_argument("--into", type=Path, help="a page to write the table into, between its marks")
    chosen = parser.parse_args()
    made = table(json.loads(chosen.json.read_text("utf-8")))
    if chosen.into is None:
        sys.stdout.write(made + "\n")
    else:
        write_into(chosen.into, COMMAND, made)


if __name__ == "__main__":
    main()
