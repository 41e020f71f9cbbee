"""docs/reliability.md names tests that exist, and the figures of a run are told in its table."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.page import END, begin
from tests.reliability import figures
from tests.service.servers import ROOT

PAGE = ROOT / "docs" / "reliability.md"


def test_every_test_that_the_page_names_exists() -> None:
    text = PAGE.read_text("utf-8").partition(begin(figures.COMMAND))[0]
    path, named = "", 0
    for found in re.finditer(r"`(tests/[\w/]+/test_\w+\.py|…)(?:::(test_\w+))?`", text):
        path = path if found[1] == "…" else found[1]
        source = (ROOT / path).read_text("utf-8")
        if found[2]:
            assert re.search(rf"^(async )?def {found[2]}\(", source, re.MULTILINE), f"{path} has no {found[2]}"
        named += 1
    assert named > 60


def test_the_page_has_a_place_for_the_figures() -> None:
    _, _, rest = PAGE.read_text("utf-8").partition(begin(figures.COMMAND))
    assert END in rest


def test_what_was_counted_is_told_by_test(tmp_path: Path) -> None:
    row = figures.Row()
    for number in range(2):
        row.add(figures.Proof(requests=1000, faults=number, measured={"growth": f"{number} %"}), True, 1.5)
    figures.save({"test_a.py::test_b": row}, tmp_path / "found.json")
    failed = figures.Row()
    failed.add(figures.Proof(failures=["one", "two"]), False, 1.0)
    figures.save({"test_a.py::test_c": failed}, tmp_path / "found.json")
    lines = figures.table(json.loads((tmp_path / "found.json").read_text())).splitlines()
    assert lines[2] == "| `test_a.py::test_b` | 2 | 2,000 | 1 | 0 | 3 | growth: 1 % |"
    assert lines[3] == "| `test_a.py::test_c` | 1 | 0 | 0 | 2 | 1 |  |"
    assert lines[4].startswith("| **all** | 3 | 2,000 | 1 | 2 | 4 |")
