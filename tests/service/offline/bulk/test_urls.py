"""Bulk runs from and to an object store: the rows of the same run on this machine, whatever the network does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from service.cli import main
from tests.model_store.remote.s3_server import Answer, Bucket, FaultyDoor, bucket_of, first, s3_server
from tests.scale.markers import LONG
from tests.service.helpers import HALF, images, picture

Sluice = Callable[..., Result]
URL = "s3://models/store"
"""Where the bucket of the tests keeps what is put into it."""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of input, and one with pictures."""
    root = tmp_path_factory.mktemp("given")
    values = np.random.default_rng(0).standard_normal((700, 2)).astype(np.float32)
    rows, album = root / "rows", root / "album/inner"
    rows.mkdir()
    album.mkdir(parents=True)
    np.save(rows / "a.npy", values)
    np.save(rows / "b.npy", np.asfortranarray(values.astype(np.float64)))
    np.savez_compressed(rows / "c.npz", first=values[:300], second=np.asfortranarray(values[300:]))
    texts = [",".join(repr(float(number)) for number in row) for row in values]
    texts[5] = "1,2,3"
    (rows / "d.csv").write_text("x,y\n" + "\n".join(texts) + "\n")
    with pyarrow.output_stream(rows / "e.csv.gz", compression="gzip") as stream:
        stream.write(("x,y\n" + "\n".join(texts) + "\n").encode())
    table = pyarrow.table({"x": values[:, 0], "y": values[:, 1]})
    parquet.write_table(table, rows / "f.parquet", row_group_size=200)
    np.save(root / "pixels.npy", np.asfortranarray(images(40)))
    for place, image in enumerate(images(40)):
        (album / f"{place:02d}.png").write_bytes(picture(image))
    (album / "07.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, FaultyDoor]]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server: tuple[str, FaultyDoor], given: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with bucket_of(*server, given, monkeypatch) as found:
        yield found


@pytest.fixture
def sluice(calibrated_store: Path) -> Sluice:
    options = ["--store", str(calibrated_store), "--device", "cpu"]
    return lambda command, *arguments: CliRunner().invoke(main, [command, *options, *map(str, arguments)])


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def rows_in(folder: Path, root: object) -> list[dict[str, Any]]:
    """All rows of a run, their files named relative to ``root``."""
    rows = [row for part in sorted(folder.glob("part-*.parquet")) for row in parquet.read_table(part).to_pylist()]
    return [{**row, "file": row["file"].removeprefix(f"{root}/")} for row in rows]


def parts_at(bucket: Bucket, folder: str) -> dict[str, bytes]:
    keys = [key for key in bucket.listed() if key.startswith(f"{folder}/part-")]
    return {key.rpartition("/")[2]: bucket.get(key) for key in keys}


def parts_in(folder: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in sorted(folder.glob("part-*.parquet"))}


def test_rows_and_pictures_at_urls_are_scored_as_those_here(
    bucket: Bucket, sluice: Sluice, given: Path, tmp_path: Path
) -> None:
    for name, options in (
        ("rows", ("--model", "points", "--part-rows", 150)),
        ("album", ("--part-rows", 16)),
        ("pixels.npy", ()),
    ):
        done(sluice("score", given / name, *options, "-o", f"{tmp_path}/here-{name}/"))
        done(sluice("score", f"{URL}/{name}", *options, "-o", f"{tmp_path}/there-{name}/"))
        expected, found = rows_in(tmp_path / f"here-{name}", given), rows_in(tmp_path / f"there-{name}", URL)
        assert found == expected, name
        assert len(found) == {"rows": 4200, "album": 40, "pixels.npy": 40}[name]
    (reason,) = (row["reason"] for row in rows_in(tmp_path / "there-album", URL) if row["reason"])
    assert "picture" in reason


def test_a_run_to_a_url_that_is_ended_goes_on_and_gives_the_bytes_of_one_to_a_folder(
    bucket: Bucket, sluice: Sluice, given: Path, tmp_path: Path
) -> None:
    command = ("score", f"{URL}/rows/d.csv", "--model", "points", "--part-rows", 100)
    done(sluice(*command, "-o", f"{tmp_path}/undisturbed/"))
    denied = [first(1, Answer("403 Forbidden"), "PUT", "part-000004")]
    bucket.door.faults = denied
    ended = sluice(*command, "-o", f"{URL}/scores")
    assert ended.exit_code == 1
    assert "s3://models/store/scores: part-000004.parquet: access is denied" in ended.output
    there = len(parts_at(bucket, "scores"))
    assert 0 < there < 7
    bucket.door.faults = [
        first(2, Answer("503 Slow Down"), "PUT", "part-"),
        first(2, Answer(keep=0.5), "GET", "d.csv"),
        first(1, Answer(wait=0.3), "GET", "d.csv"),
    ]
    result = done(sluice(*command, "-o", f"{URL}/scores/"))
    assert f"{there * 100} of 700 items are there already" in result.stderr
    assert parts_at(bucket, "scores") == parts_in(tmp_path / "undisturbed")
    summary = json.loads(bucket.get("scores/_summary.json"))
    assert summary == json.loads((tmp_path / "undisturbed/_summary.json").read_text())
    assert "another alpha: 0.01, now 0.5" in sluice(*command, "-o", f"{URL}/scores", "--alpha", 0.5).output
    bucket.put("rows/d.csv", b"x,y\n1,2\n")
    assert "other inputs: " in sluice(*command, "-o", f"{URL}/scores").output


@LONG
def test_completions_and_draws_go_to_a_url(bucket: Bucket, sluice: Sluice, given: Path, tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(picture(HALF))
    whole = ("--mask", tmp_path / "mask.png", "--steps", 3, "--seed", 4)
    done(sluice("inpaint", f"{URL}/album", *whole, "-o", f"{URL}/whole"))
    done(sluice("inpaint", f"{URL}/album", *whole, "-o", f"{tmp_path}/whole/"))
    assert parts_at(bucket, "whole") == parts_in(tmp_path / "whole")
    draws = ("--model", "points", "-n", 300, "--seed", 3)
    told = done(sluice("sample", *draws, "-o", f"{URL}/draws", "--json"))
    assert json.loads(told.stdout)["output"] == f"{URL}/draws"
    done(sluice("sample", *draws, "-o", f"{tmp_path}/draws/"))
    assert parts_at(bucket, "draws") == parts_in(tmp_path / "draws")


def test_what_cannot_be_read_or_written_is_told(bucket: Bucket, sluice: Sluice, tmp_path: Path) -> None:
    out = ("-o", f"{tmp_path}/out/")
    for arguments, told in (
        ((f"{URL}/nothing", *out), f"{URL}/nothing: holds no file that ends in .png"),
        ((f"{URL}/nothing.csv", *out), f"{URL}/nothing.csv: holds no file"),
        ((f"{URL}/album",), "a URL is read into a folder as --output only"),
        ((f"{URL}/album", "-o", f"{URL}/rows"), f"{URL}/rows: holds other files, such as a.npy"),
        ((f"{URL}/album", "-o", f"{URL}/album/out/"), f"{URL}/album/out is or lies in {URL}/album"),
        ((f"{URL}/album/", "-o", f"{URL}/album"), f"{URL}/album is or lies in {URL}/album"),
    ):
        result = sluice("score", *arguments)
        assert result.exit_code in (1, 2), arguments
        assert told in result.output
    bucket.put("rows/a.npy", bucket.get("rows/a.npy")[:-3])
    result = sluice("score", "--model", "points", f"{URL}/rows", *out)
    assert f"{URL}/rows/a.npy: its header claims" in result.output
    bucket.door.faults = [lambda _: Answer("503 Slow Down")]
    result = sluice("score", f"{URL}/album", *out)
    assert result.exit_code == 1
    assert "s3://models/store/album: the listing: " in result.output
    assert "after 6 attempts" in result.output
