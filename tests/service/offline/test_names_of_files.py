"""Files whose names are not UTF-8, as old archives and cameras leave them, are scored like any others."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from service.cli import main
from service.offline.bulk.folder import folder_at
from service.offline.bulk.job import read_job
from service.offline.unusable import UnusableFile
from tests.service.helpers import HALF, images, picture

Sluice = Callable[..., Result]
ODD = os.fsdecode(b"caf\xe9")
"""How Python names a file of these bytes, which are Latin-1."""
TOLD = "caf\ufffd"


@pytest.fixture
def sluice(calibrated_store: Path) -> Sluice:
    """A command over the models of the tests."""
    options = ["--store", str(calibrated_store), "--device", "cpu"]
    return lambda command, *arguments: CliRunner().invoke(main, [command, *options, *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of an odd name that holds a picture, an array and an archive of such names, an image each."""
    folder = tmp_path / ODD
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes names in UTF-8 alone")
    (folder / f"{ODD}.png").write_bytes(picture(images(1)[0]))
    np.save(folder / f"{ODD}.npy", images(1))
    np.savez(folder / f"{ODD}.npz", images(1))
    return folder


def told(tmp_path: Path) -> list[str]:
    return [f"{tmp_path}/{TOLD}/{TOLD}{ending}" for ending in (".npy", ".npz:arr_0", ".png")]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_scores_in_a_file_name_them_in_utf_8(sluice: Sluice, folder: Path, tmp_path: Path, form: str) -> None:
    output = tmp_path / f"{ODD}-scores"
    result = sluice("score", folder, "--format", form, "-o", output)
    assert result.exit_code == 0, result.output
    data = output.read_bytes()
    if form == "csv":
        found = [row["file"] for row in csv.DictReader(io.StringIO(data.decode()))]
    elif form == "jsonl":
        found = [json.loads(line)["file"] for line in data.splitlines()]
    else:
        found = parquet.read_table(io.BytesIO(data))["file"].to_pylist()
    assert found == told(tmp_path)


def test_a_table_of_such_a_name_is_scored(sluice: Sluice, folder: Path, tmp_path: Path) -> None:
    (folder / f"{ODD}.csv").write_text("x,y,z\n1,2,3\n")
    refused = sluice("score", folder / f"{ODD}.csv", "--model", "points")
    assert refused.exit_code == 1
    assert f"{TOLD}.csv: has 3 columns" in refused.stderr
    (folder / f"{ODD}.csv").write_text("x,y\n1,2\n")
    for output in (tmp_path / "one.parquet", f"{tmp_path}/scores/"):
        result = sluice("score", folder / f"{ODD}.csv", "--model", "points", "-o", output)
        assert result.exit_code == 0, result.output
        assert parquet.read_table(output)["file"].to_pylist() == [f"{folder}/{ODD}.csv".replace(ODD, TOLD)]


def test_a_bulk_run_over_them_goes_on_and_finds_them_again(sluice: Sluice, folder: Path, tmp_path: Path) -> None:
    given = ("score", folder, "-o", f"{tmp_path}/{ODD}-parts/")
    for _ in range(2):
        result = sluice(*given)
        assert result.exit_code == 0, result.output
    parts = sorted((tmp_path / f"{ODD}-parts").glob("part-*"))
    rows = [row for part in parts for row in parquet.read_table(io.BytesIO(part.read_bytes())).to_pylist()]
    assert [row["file"] for row in rows] == told(tmp_path)
    job = read_job(folder_at(tmp_path / f"{ODD}-parts"))
    assert job is not None
    assert job.files == [str(folder)]  # with its bytes: processes of other devices open it again
    (folder / f"{ODD}.png").rename(folder / f"{os.fsdecode(bytes([255]))}.png")
    assert "holds a run with other inputs: " in sluice(*given).output


def test_answers_as_json_name_an_odd_output(sluice: Sluice, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(picture(HALF))
    for arguments in (
        ("sample", "-n", 2, "-o", folder / f"{ODD}.npy"),
        ("sample", "-n", 2, "-o", f"{folder}/draws/"),
        ("inpaint", folder / f"{ODD}.png", "--mask", tmp_path / "mask.png", "--steps", 2, "-o", folder / "whole.npy"),
    ):
        result = sluice(*arguments, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["output"].startswith(f"{tmp_path}/{TOLD}/")


def test_an_error_that_names_such_a_file_can_be_written_anywhere() -> None:
    assert str(UnusableFile(f"{ODD}.png: is gone")) == f"{TOLD}.png: is gone"


def test_the_fingerprint_of_ordinary_names_is_that_of_runs_begun_before(sluice: Sluice, tmp_path: Path) -> None:
    path = tmp_path / "caf\u00e9.npy"
    np.save(path, images(1))
    assert sluice("score", path, "-o", f"{tmp_path}/scores/").exit_code == 0
    status = path.stat()
    mark = f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n"
    (note,) = json.loads((tmp_path / "scores/_job.json").read_bytes())["inputs"]
    assert note["fingerprint"] == hashlib.sha256(mark.encode()).hexdigest()
