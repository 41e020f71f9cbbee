"""`sluice score --explain` on rows of a table: columns with the words and times that people wrote."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from click.testing import CliRunner

from service.cli import main
from tests.service.tables import publish_homes

ROWS = """height,rooms,colour,sold
900,3,red,2024-01-02
160.25,,blue,2022-05-01
"""


def test_contributions_are_written_as_the_columns_are(tmp_path: Path) -> None:
    publish_homes(tmp_path / "models", calibrated=True)
    (tmp_path / "homes.csv").write_text(ROWS)
    command = ["score", str(tmp_path / "homes.csv"), "--store", str(tmp_path / "models"), "--device", "cpu"]
    found = CliRunner().invoke(main, [*command, "--explain=all"])
    assert found.exit_code == 0, found.output
    first, second = (row["contributions"] for row in csv.DictReader(io.StringIO(found.stdout)))
    assert first.startswith("height +")
    assert re.search(r"colour \S+ \(red, expected (red|blue)\)", first)
    assert re.search(r"sold \S+ \(2024-01-02, expected \d{4}-\d\d-\d\d\)", first)
    assert re.search(r"rooms \S+ \(missing, expected ", second)
    found = CliRunner().invoke(main, [*command, "--explain=all", "--json"])
    for line in found.stdout.splitlines():
        told = {each["column"]: each for each in json.loads(line)["contributions"]}
        assert told["colour"]["expected"] in (0, 1)
