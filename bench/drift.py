"""How often the martingales of docs/drift.md alarm on ordinary items, and after how many items they notice a change.

    make bench-drift [DATA=DIR]
    .venv/bin/python -m bench.drift [--data-dir DIR] [--streams N] [--only-ordinary] [--into FILE]

Each stream draws its calibrating items anew. Its items are watched as the service watches those of a request: by the
verdict, by each test and, of a table, by each column. An alarm is evidence of 100 by all of them together.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch

from bench import page
from bench.drift_streams import Digits, Friedman, Source
from flows import anomaly
from flows.anomaly import BLOCK
from service.device.drift import Scored, Watch
from service.protocol.drift import ALARM

LENGTH = 20_000
"""Ordinary items of a stream."""
CALIBRATING = (500, 4_000)
BEFORE = 5_000
"""Ordinary items before a change."""


def first_alarm(watch: Watch, scored: Scored) -> tuple[float, float]:
    """After how many items the evidence first reached 100, infinite where it never did; the most until then, log10."""
    most = -math.inf
    for start in range(0, len(scored.p_values) - BLOCK + 1, BLOCK):
        watch.saw(scored.rows(start, start + BLOCK))
        watch.work()
        most = max(most, watch.log10_evidence())
        if most >= math.log10(ALARM):
            return start + BLOCK, most
    return math.inf, most


def taken_as_uniform(watch: Watch) -> Watch:
    """The same bets, against p-values that are taken as uniform: what ranking among earlier live items is for."""
    watch.martingales = anomaly.Martingales(watch.martingales.cells * 1e9)
    return watch


def false_alarms(source: Source, streams: int) -> Iterator[str]:
    """A row of the table for each number of calibrating items."""
    for n in CALIBRATING:
        found, naive = [], []
        for seed in range(streams):
            watch, scored = source.stream(n, LENGTH, None, 0, seed)
            naive.append(first_alarm(taken_as_uniform(copy.deepcopy(watch)), scored))
            found.append(first_alarm(watch, scored))
        alarms, wrong = (sum(reached < math.inf for reached, _ in each) for each in (found, naive))
        most = max(most for _, most in found)
        yield f"| {source.name} | {n:,} | {alarms} | {10**most:.2g} | {wrong} |"


def detections(source: Source, streams: int) -> Iterator[str]:
    """A row of the table for each change, number of calibrating items and of ordinary ones before."""
    for change in source.changes:
        for n in CALIBRATING:
            for before in (0, BEFORE):
                reached = [
                    first_alarm(*source.stream(n, before, change, source.after, 100 + seed))[0] - before
                    for seed in range(streams)
                ]
                early = sum(each <= 0 for each in reached)
                ordered = sorted(reached)
                cells = [_items(median(ordered)), _items(ordered[math.ceil(0.9 * streams) - 1])]
                noticed = sum(0 < each < math.inf for each in reached)
                yield (
                    f"| {source.name}: {change} | {n:,} | {before:,} | {noticed} of {streams}"
                    f"{f', {early} before it' if early else ''} | {' | '.join(cells)} |"
                )


def _items(count: float) -> str:
    return f"{count:,.0f}" if math.isfinite(count) else "not noticed"


def report(data_dir: Path | None, streams: int, only_ordinary: bool) -> Iterator[str]:
    """Lines of Markdown."""
    with torch.enable_grad():
        sources: list[Source] = [Digits(data_dir), Friedman()]
    yield f"Ordinary items: {streams} streams of {LENGTH:,} each.\n"
    yield "| items | n | false alarms | most evidence | alarms of the same bets if p-values are taken as uniform |"
    yield "|---|---|---|---|---|"
    for source in sources:
        yield from false_alarms(source, streams)
    if only_ordinary:
        return
    most = " and ".join(f"{source.after:,} of {source.name}" for source in sources)
    yield f"\nChanges: items until the alarm, over {streams} streams; of changed items there are {most}.\n"
    yield "| change | n | ordinary items before | noticed | items, median | items, 90 % |"
    yield "|---|---|---|---|---|---|"
    for source in sources:
        yield from detections(source, streams)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with the original files; by default they are downloaded")
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--only-ordinary", action="store_true", help="false alarms alone")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    page.refuse_parts(parser, options, "only_ordinary")
    lines = []
    torch.set_grad_enabled(False)
    for line in report(options.data_dir, options.streams, options.only_ordinary):
        print(line, flush=True)
        lines.append(line)
    if options.into:
        page.write_into(options.into, "make bench-drift", "\n".join(lines))


if __name__ == "__main__":
    main()
