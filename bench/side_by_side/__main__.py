"""Compare Sluice with its peers, with the same model in process, and with itself on a busy machine.

    make bench
    .venv/bin/python -m bench.side_by_side [--only SECTION ...] [--peers NAME ...] [--rounds 2] [--seconds 4]
                                           [--requests 200000] [--patience 240] [--into FILE]

Starts and stops every server itself. Prints Markdown; with --into the figures go between the marks of a page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import children, page
from bench.side_by_side import (
    account,
    environments,
    fairness,
    in_process,
    neighbours,
    protocol,
    report,
    singles,
    start_up,
    under_load,
)
from bench.side_by_side import verdict as verdicts
from bench.side_by_side.contenders import PEERS, Contender, peer, sluice, sluice_tensors
from bench.side_by_side.published_model import PRECISIONS, PublishedModel, prepare
from bench.side_by_side.report import Row

Section = Callable[[PublishedModel, argparse.Namespace], Iterator[str | Row]]
"""Yields lines to print, and rows of the table of targets."""


def main() -> None:
    options = _options()
    children.end_on_signals()
    printed = []
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(prepare(Path(folder)), options):
            print(line, flush=True)
            printed.append(line)
    if options.into:
        page.write_into(options.into, "make bench", "\n".join(printed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [which.environment for which in PEERS]
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--peers", nargs="*", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=2, help="how often each server is started and measured")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--requests", type=int, default=200_000, help="requests over which memory is measured")
    parser.add_argument("--patience", type=float, default=240.0, help="seconds that these may take")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    page.refuse_parts(parser, options, "only")
    return options


def measured(model: PublishedModel, options: argparse.Namespace) -> Iterator[str]:
    """Everything that is printed: the machine, the sections' own tables, and last the table of targets."""
    began = time.monotonic()
    yield report.machine()
    rows: list[Row] = []
    for name, section in SECTIONS.items():
        if options.only and name not in options.only:
            continue
        print(f"section {name}, after {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr, flush=True)
        lines = 0
        for found in guarded(name, section(model, options)):
            if isinstance(found, Row):
                print(f"{found.work}: {found.reached}", file=sys.stderr, flush=True)
                rows.append(found)
            else:
                if not lines:
                    yield ""
                lines += 1
                yield found
    yield ""
    yield from report.rows(rows)
    yield f"\nThe run took {(time.monotonic() - began) / 60:.1f} minutes."


def guarded(name: str, section: Iterator[str | Row]) -> Iterator[str | Row]:
    """A section's lines and rows; one that fails ends with a row that says so, so that the others still run."""
    try:
        yield from section
    except Exception as error:
        traceback.print_exc()
        yield Row(f"section {name}", "", f"not run to its end: {error}", None)


def _singles(model: PublishedModel, options: argparse.Namespace) -> Iterator[str | Row]:
    absent: list[str] = []
    outcomes = singles.compare(list(contenders(model, options.peers, absent)), model, options.seconds, options.rounds)
    yield from singles.lines(outcomes)
    yield from absent
    yield from singles.rows(outcomes)


def contenders(model: PublishedModel, peers: Sequence[str], absent: list[str]) -> Iterator[Contender]:
    """Sluice in each precision and the peers that can be installed; a line on each other one goes to ``absent``."""
    for precision in PRECISIONS:
        yield sluice(model, precision)
        yield sluice_tensors(model, precision)
    for which in PEERS:
        if which.environment not in peers:
            continue
        try:
            yield peer(which, model)
        except environments.NotInstalled as error:
            print(f"{which.name}: {error}", file=sys.stderr)
            absent.append(f"\n{which.name}: not run, {error}")


def _account(model: PublishedModel, options: argparse.Namespace) -> Iterator[str | Row]:
    yield from account.lines(model, options.seconds)


def _in_process(model: PublishedModel, options: argparse.Namespace) -> Iterator[str | Row]:
    yield from in_process.rows(model, options.seconds, options.rounds)


def _load(model: PublishedModel, options: argparse.Namespace) -> Iterator[str | Row]:
    yield from under_load.rows(model, options.seconds, options.requests, options.patience)


def _protocol(model: PublishedModel, options: argparse.Namespace) -> Iterator[str | Row]:
    yield from protocol.rows(model, options.seconds, options.rounds)


def _fairness(model: PublishedModel, options: argparse.Namespace) -> Iterator[str | Row]:
    yield from fairness.rows(model, options.seconds, options.rounds)


def _verdict(_: PublishedModel, options: argparse.Namespace) -> Iterator[str | Row]:
    yield from verdicts.rows(options.seconds, options.rounds)


def _neighbours(_: PublishedModel, __: argparse.Namespace) -> Iterator[str | Row]:
    yield from neighbours.measured()


def _start_up(_: PublishedModel, __: argparse.Namespace) -> Iterator[str | Row]:
    yield from start_up.rows()


SECTIONS: Mapping[str, Section] = {
    "singles": _singles,
    "account": _account,
    "in-process": _in_process,
    "load": _load,
    "protocol": _protocol,
    "fairness": _fairness,
    "verdict": _verdict,
    "neighbours": _neighbours,
    "start-up": _start_up,
}


if __name__ == "__main__":
    main()
