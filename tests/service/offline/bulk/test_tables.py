"""Bulk runs with a model of a table: columns by name in and out, missing cells, bad rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from service.cli import main
from tests.service.tables import SCHEMA, publish_homes

Sluice = Callable[..., Result]
ROWS = """id,sold,height,rooms,colour
1,2024-01-02,171.5,3,red
2,2022-05-01,,2,blue
3,2022-05-01,160.25,,
4,2022-05-01,160.25,2,green
"""


@pytest.fixture(scope="module")
def sluice(tmp_path_factory: pytest.TempPathFactory) -> Sluice:
    """A command over the model `homes`."""
    root = tmp_path_factory.mktemp("homes")
    publish_homes(root, calibrated=True)
    options = ["--store", str(root), "--device", "cpu"]

    def run(command: str, *arguments: object) -> Result:
        result = CliRunner().invoke(main, [command, *options, *map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result

    return run


def test_rows_by_name_get_the_scores_of_the_command_without_a_folder(sluice: Sluice, tmp_path: Path) -> None:
    (tmp_path / "homes.csv").write_text(ROWS)
    sluice("score", tmp_path / "homes.csv", "-o", tmp_path / "one.parquet")
    sluice("score", tmp_path / "homes.csv", "-o", f"{tmp_path}/scores/", "--part-rows", 3)
    found = parquet.read_table(tmp_path / "scores").to_pylist()
    expected = parquet.read_table(tmp_path / "one.parquet").drop_columns(["discovery", "contributions"]).to_pylist()
    assert found == expected
    assert found[3]["reason"] is not None
    assert "'colour'" in found[3]["reason"]
    assert found[1]["p_value"] is not None


def test_draws_have_the_tables_names_and_types(sluice: Sluice, tmp_path: Path) -> None:
    given = ("-n", 40, "--seed", 3)
    sluice("sample", *given, "-o", tmp_path / "draws.json")
    sluice("sample", *given, "-o", f"{tmp_path}/draws/", "--part-rows", 16)
    table = parquet.read_table(tmp_path / "draws")
    assert table.schema.names == ["item", *SCHEMA.names]
    kinds = [pyarrow.int64(), pyarrow.float64(), pyarrow.int64(), pyarrow.string(), pyarrow.string()]
    assert table.schema.types == kinds
    assert table.drop_columns(["item"]).to_pylist() == json.loads((tmp_path / "draws.json").read_text())["items"]


def test_missing_cells_are_filled_in_and_the_others_stay(sluice: Sluice, tmp_path: Path) -> None:
    (tmp_path / "homes.csv").write_text(ROWS)
    sluice("inpaint", tmp_path / "homes.csv", "--steps", 4, "--seed", 5, "-o", f"{tmp_path}/whole/")
    first, second, third, fourth = parquet.read_table(tmp_path / "whole").to_pylist()
    assert [first[name] for name in SCHEMA.names] == [171.5, 3, "red", "2024-01-02"]
    assert first["steps"] == 0
    assert (second["rooms"], second["colour"], second["sold"]) == (2, "blue", "2022-05-01")
    assert np.isfinite(second["height"])
    assert third["height"] == pytest.approx(160.25)
    assert third["colour"] in ("blue", "red")
    assert (fourth["height"], fourth["steps"]) == (None, None)
    assert "'colour'" in fourth["reason"]
