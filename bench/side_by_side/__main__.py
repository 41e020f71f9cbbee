"""Sluice beside its peers and beside the same model in process, on this machine: the whole table.

    make bench
    .venv/bin/python -m bench.side_by_side [--peers NAME ...] [--rounds 2] [--seconds 4]
                                           [--requests 200000] [--patience 180] [--into FILE]

Starts and stops every server itself. Prints Markdown; with --into it goes between the marks of a page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import page
from bench.side_by_side import account, environments, in_process, report, singles, under_load
from bench.side_by_side.contenders import PEERS, Contender, peer, sluice
from bench.side_by_side.model import PRECISIONS, Prepared, prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [which.environment for which in PEERS]
    parser.add_argument("--peers", nargs="*", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=2, help="how often each is started and measured")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
    parser.add_argument("--requests", type=int, default=200_000, help="over which memory is looked at")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds that these may take")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    said = []
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(prepare(Path(folder)), options):
            print(line, flush=True)
            said.append(line)
    if options.into:
        page.write_into(options.into, "make bench", "\n".join(said))


def measured(model: Prepared, options: argparse.Namespace) -> Iterator[str]:
    began = time.monotonic()
    yield report.machine() + "\n"
    absent: list[str] = []
    outcomes = singles.compare(list(contenders(model, options.peers, absent)), model, options.seconds, options.rounds)
    yield from singles.lines(outcomes)
    yield from absent
    yield ""
    yield from account.lines(model, options.seconds)
    yield ""
    found = [*singles.rows(outcomes)]
    for precision in PRECISIONS:
        found += in_process.rows(model, precision, options.seconds, options.rounds)
    found += under_load.rows(model, options.seconds, options.requests, options.patience)
    yield from report.rows(found)
    yield f"\nThe run took {(time.monotonic() - began) / 60:.1f} minutes."


def contenders(model: Prepared, peers: list[str], absent: list[str]) -> Iterator[Contender]:
    """Sluice in each precision and the peers that can be installed; lines on the others go to ``absent``."""
    for precision in PRECISIONS:
        yield sluice(model, precision)
    for which in PEERS:
        if which.environment not in peers:
            continue
        try:
            yield peer(which, model)
        except environments.NotInstalled as error:
            print(f"{which.name}: {error}", file=sys.stderr)
            absent.append(f"\n{which.name}: not run, {error}")


if __name__ == "__main__":
    main()
