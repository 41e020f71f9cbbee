"""Measure everything that a GPU is for, in one command of about nine minutes, and keep each row.

    make bench-gpu [DATA=DIR]
    python -m bench.gpu [--device cuda] [--only SECTION ...] [--data-dir DIR] [--json FILE] [--into PAGE] [--small]

DIR holds mnist/ as its official idx files; without it nothing is trained. Needs no network. ``--small`` is for a CPU:
it takes seconds, runs all the code, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch

from bench import children, page
from bench.gpu import ceilings, company, over_http, precision, programs, report, training
from bench.gpu.figures import Figures, Row
from model_store import default_root

SECTIONS: Mapping[str, Callable[[Figures], Iterator[Row]]] = MappingProxyType(
    {
        "ceilings": ceilings.measure,
        "precision": precision.measure,
        "nice": training.nice,
        "programs": programs.measure,
        "company": company.measure,
        "http": over_http.measure,
        "steps": training.steps,
    }
)


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU is available; --device cpu --small tries the code")
    children.end_on_signals()
    with tempfile.TemporaryDirectory() as folder:
        figures = Figures(device, options.small, options.store, options.data_dir, options.json, Path(folder))
        failed = _measure(figures, options.only or list(SECTIONS))
    if options.into:
        page.write_into(options.into, "make bench-gpu", "\n".join(report.whole(figures)))
    if failed:
        raise SystemExit(1)


def _measure(figures: Figures, sections: Sequence[str]) -> bool:
    """Run the sections; whether one of them failed."""
    failed = False
    for name in sections:
        began = time.monotonic()
        try:
            for row in SECTIONS[name](figures):
                figures.add(name, row)
                figures.write()
        except Exception:  # what the other sections measure is not lost
            traceback.print_exc()
            failed = True
        figures.write()
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        print("\n".join(report.section(name, figures)), flush=True)
    return failed


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--json", type=Path, help="a file for the figures, written after each section")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    parser.add_argument("--small", action="store_true", help="little of everything, to see that it works")
    options = parser.parse_args(arguments)
    page.refuse_parts(parser, options, "only", "small")
    return options


if __name__ == "__main__":
    main()
