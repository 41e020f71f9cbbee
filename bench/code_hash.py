"""Which code figures are of that a benchmark keeps: a hash of the files that they depend on.

Needs nothing beyond Python, since peers are measured in environments of their own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]


def code_hash(places: Iterable[str]) -> str:
    """A hash of files, and of the Python files below folders; paths are relative to the repository."""
    found = hashlib.sha256()
    for place in places:
        path = _ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()[:16]


def kept_figures(file: Path, code: str, row: str) -> dict[str, Any] | None:
    """The figures in a file, None where there is no file. Those of other code are used too, and a printed line says so.

    The file lies beside the folder of its run, which has the same name without the suffix. ``row`` names the figures.
    """
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text())
    if not _is_of(found, code):
        anew = f"delete {file} and {file.with_suffix('')} to measure anew"
        print(f"{row}: kept figures are not known to be of this code; {anew}", file=sys.stderr, flush=True)
    return found


def code_of_run(folder: Path, code: str) -> str | None:
    """The code that began the run of a folder, None where it is not known. A missing folder will be begun by ``code``.

    A run that goes on after a stop uses what the code of its beginning trained.
    """
    note = folder.with_suffix(".code")
    if not folder.exists():
        note.write_text(code)
    return note.read_text() if note.exists() else None


def rows_of_other_code(rows: Iterable[Iterable[dict[str, Any]]], code: str) -> Iterator[str]:
    """The line below a table that counts its rows of other code, given the figures of each row; none without such."""
    present = [all(_is_of(figures, code) for figures in row) for row in rows]
    if not all(present):
        yield f"\nRows whose figures are not known to be of the present code: {present.count(False)} of {len(present)}."


def _is_of(figures: dict[str, Any], code: str) -> bool:
    # Figures without a hash were kept before there was one: whose they are is not known.
    return figures.get("code") == code
