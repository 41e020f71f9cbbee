"""Fuzz the parsers of bodies, one after another. Ends with 1 where one answers with what would be 500, hangs or grows.

    .venv/bin/python -m tests.reliability.fuzz [TARGET ...] [--minutes 10] [--keep]

Wants atheris: pip install 'sluice[fuzz]'. Inputs that find a fault lie in build/fuzz/TARGET/found-*.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from tests.reliability.fuzz.fuzzing import CORPUS, fuzz, keep


def main() -> int:
    names = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names))
    parser.add_argument("--minutes", type=float, default=10, help="for each parser")
    parser.add_argument("--keep", action="store_true", help="take inputs that reach something new into the corpus")
    chosen = parser.parse_args()
    unknown = set(chosen.targets) - set(names)
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; the targets are {', '.join(names)}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: pip install 'sluice[fuzz]'")
    failed = False
    for name in chosen.targets or names:
        work = Path("build/fuzz") / name
        run = fuzz(name, 60 * chosen.minutes, work.resolve())
        failed |= bool(run.found)
        sys.stdout.write(f"{name}: {run.inputs:,} inputs, {run.memory} MiB at most, {run.found or 'nothing found'}\n")
        if chosen.keep:
            sys.stdout.write(f"{name}: the corpus holds {keep(name, work.resolve())} inputs\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
