"""Bulk runs: the answers of the commands without a folder, parts that fit together, and runs that go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pyarrow import parquet

from service.cli import main
from tests.service.helpers import HALF, images, picture

Sluice = Callable[..., Result]


@pytest.fixture
def sluice(calibrated_store: Path) -> Sluice:
    """A command over the models of the tests."""
    options = ["--store", str(calibrated_store), "--device", "cpu"]
    return lambda command, *arguments: CliRunner().invoke(main, [command, *options, *map(str, arguments)])


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """All rows of a run, part after part."""
    parts = sorted(folder.glob("part-*.parquet"))
    return [row for part in parts for row in parquet.read_table(part).to_pylist()]


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in sorted(folder.glob("part-*.parquet"))}


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def points(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 2)).astype(np.float32)


def test_a_folder_holds_what_one_file_of_parquet_holds(sluice: Sluice, tmp_path: Path) -> None:
    values = points(700)
    texts = [",".join(repr(float(number)) for number in row) for row in values]
    texts[5] = "1,2,3"
    (tmp_path / "rows.csv").write_text("x,y\n" + "\n".join(texts) + "\n")
    np.savez_compressed(tmp_path / "rows.npz", first=values[:300], second=values[300:])
    np.save(tmp_path / "rows.npy", np.asfortranarray(values))
    parquet.write_table(pyarrow.table({"x": values[:, 0], "y": values[:, 1]}), tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.npz", "rows.npy", "rows.parquet"):
        given = ("--model", "points", "--alpha", 0.2, tmp_path / name)
        done(sluice("score", *given, "-o", tmp_path / "one.parquet"))
        result = done(sluice("score", *given, "-o", f"{tmp_path}/{name}-scores/", "--part-rows", 128))
        expected = parquet.read_table(tmp_path / "one.parquet").drop_columns(["discovery", "contributions"])
        assert rows_in(tmp_path / f"{name}-scores") == expected.to_pylist(), name
        anomalous = sum(bool(row["anomalous"]) for row in expected.to_pylist())
        assert "points@2: 700 items" in result.stderr
        assert f"{anomalous} anomalous at 0.2" in result.stderr
    assert rows_in(tmp_path / "rows.csv-scores")[5]["reason"] == "has 3 fields where there are 2 columns"
    whole = parquet.read_table(tmp_path / "rows.npy-scores")  # what every reader of partitioned Parquet does
    assert whole.num_rows == 700


def test_a_damaged_picture_or_row_gets_a_reason_and_the_others_figures(sluice: Sluice, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    pixels = images(6)
    for place, image in enumerate(pixels):
        (tmp_path / f"album/{place}.png").write_bytes(picture(image))
    (tmp_path / "album/3.png").write_bytes(b"no picture")
    values = points(5)
    values[2, 1] = np.inf
    np.save(tmp_path / "rows.npy", values)
    np.save(tmp_path / "pixels.npy", pixels)
    done(sluice("score", tmp_path / "album", "-o", f"{tmp_path}/scores/", "--part-rows", 4))
    done(sluice("score", tmp_path / "pixels.npy", "-o", tmp_path / "one.parquet"))
    found, expected = rows_in(tmp_path / "scores"), parquet.read_table(tmp_path / "one.parquet").to_pylist()
    assert [row["file"] for row in found] == [f"{tmp_path}/album/{place}.png" for place in range(6)]
    assert found[3]["log_likelihood"] is None
    assert "picture" in found[3]["reason"]
    for place in (0, 1, 2, 4, 5):
        assert found[place]["log_likelihood"] == expected[place]["log_likelihood"]
        assert found[place]["p_value"] == expected[place]["p_value"]
    done(sluice("score", "--model", "points", tmp_path / "rows.npy", "-o", f"{tmp_path}/rows/"))
    reasons = [row["reason"] for row in rows_in(tmp_path / "rows")]
    assert reasons[2] == "item 2 holds a number outside the finite numbers of float32"
    assert reasons[:2] + reasons[3:] == [None] * 4
    summary = json.loads((tmp_path / "rows/_summary.json").read_text())
    assert (summary["items"], summary["unusable"]) == (5, 1)


def test_draws_are_those_of_the_command_without_a_folder(sluice: Sluice, tmp_path: Path) -> None:
    for model, shape in (("points", (2,)), ("digits", (8, 8))):
        given = ("--model", model, "-n", 300, "--seed", 3)
        done(sluice("sample", *given, "-o", tmp_path / f"{model}.npy"))
        told = done(sluice("sample", *given, "-o", f"{tmp_path}/{model}/", "--part-rows", 77, "--json"))
        assert json.loads(told.stdout)["seed"] == 3
        table = parquet.read_table(tmp_path / model)
        assert table["item"].to_pylist() == list(range(300))
        if model == "points":
            found = np.stack([table["x0"], table["x1"]], axis=1)
        else:
            assert json.loads(table.schema.field("pixels").metadata[b"shape"]) == [8, 8]
            found = np.array(table["pixels"].to_pylist(), dtype=np.uint8)
        assert np.array_equal(found.reshape(-1, *shape), np.load(tmp_path / f"{model}.npy"))


def test_completions_of_item_k_are_those_of_the_item_alone_at_seed_plus_k(sluice: Sluice, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "mask.png").write_bytes(picture(HALF))
    for place, image in enumerate(images(3)):
        (tmp_path / f"album/{place}.png").write_bytes(picture(image))
    options = ("--mask", tmp_path / "mask.png", "-n", 2, "--steps", 8)
    done(sluice("inpaint", tmp_path / "album", *options, "--seed", 40, "-o", f"{tmp_path}/whole/", "--part-rows", 2))
    found = rows_in(tmp_path / "whole")
    assert [row["file"][-5:] for row in found] == ["0.png", "0.png", "1.png", "1.png", "2.png", "2.png"]
    for place in range(3):
        alone = done(sluice("inpaint", tmp_path / f"album/{place}.png", *options, "--seed", 40 + place, "--json"))
        for row, item in zip(found[2 * place :], json.loads(alone.stdout)["items"], strict=False):
            assert row["pixels"] == np.array(item["pixels"]).ravel().tolist()
            assert (row["draw"], row["log_likelihood"]) == (item["draw"], item["log_likelihood"])
            assert (row["steps"], row["converged"]) == (item["steps"], item["converged"])


def test_missing_numbers_and_transparent_pixels_are_filled_in(sluice: Sluice, tmp_path: Path) -> None:
    values = points(4)
    values[1:, 0] = np.nan
    np.save(tmp_path / "rows.npy", values)
    done(sluice("inpaint", "--model", "points", tmp_path / "rows.npy", "--steps", 5, "-o", f"{tmp_path}/rows/"))
    found = rows_in(tmp_path / "rows")
    assert np.allclose([row["x1"] for row in found], values[:, 1])
    assert np.isfinite([row["x0"] for row in found]).all()
    assert [row["steps"] > 0 for row in found] == [False, True, True, True]
    image = Image.fromarray(np.stack([images(1)[0], 255 - HALF], axis=-1), "LA")
    image.save(tmp_path / "half.png")
    done(sluice("inpaint", tmp_path / "half.png", "--steps", 5, "--seed", 1, "-o", f"{tmp_path}/picture/"))
    pixels = np.array(rows_in(tmp_path / "picture")[0]["pixels"]).reshape(8, 8)
    assert np.array_equal(pixels[:, :4], images(1)[0][:, :4])


def test_a_run_that_was_ended_goes_on_and_gives_the_same_bytes(
    sluice: Sluice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "rows.npy", points(1000))
    given = ("--model", "points", tmp_path / "rows.npy", "--part-rows", 100)
    done(sluice("score", *given, "-o", f"{tmp_path}/undisturbed/"))
    write, written = parquet.write_table, []

    def failing(*arguments: Any, **options: Any) -> None:
        written.append(arguments)
        if len(written) == 4:
            arguments[1].write(b"half of a part")
            raise OSError(28, "No space left on device")
        write(*arguments, **options)

    monkeypatch.setattr(parquet, "write_table", failing)
    ended = sluice("score", *given, "-o", f"{tmp_path}/ended/")
    assert ended.exit_code == 1
    assert "No space left on device" in ended.output
    there = len(bytes_in(tmp_path / "ended"))
    assert there >= 3  # the next part is computed while one is written, and may end before the run does
    assert there < 10
    assert list((tmp_path / "ended").glob(".part-*"))
    count = len(written)
    result = done(sluice("score", *given, "-o", f"{tmp_path}/ended/"))
    assert f"{there}00 of 1,000 items are there already" in result.stderr
    assert len(written) == count + 10 - there
    assert bytes_in(tmp_path / "ended") == bytes_in(tmp_path / "undisturbed")
    assert not list((tmp_path / "ended").glob(".part-*"))
    names = ("_summary.json", "_job.json")
    ended_run, undisturbed = (
        [(tmp_path / run / name).read_bytes() for name in names] for run in ("ended", "undisturbed")
    )
    assert ended_run == undisturbed


def test_another_run_does_not_go_on_in_the_folder_of_the_first(sluice: Sluice, tmp_path: Path) -> None:
    rows, folder = tmp_path / "rows.npy", f"{tmp_path}/scores/"
    np.save(rows, points(10))
    given = ("score", "--model", "points", rows, "-o", folder)
    done(sluice(*given))
    for options, told in (
        (("--alpha", 0.5), "another alpha: 0.01, now 0.5"),
        (("--seed", 9), "another seed: 0, now 9"),
        (("--part-rows", 5), "other part_rows: 65536, now 5"),
        (("--model", "points@1"), "another model: points@2, now points@1"),
    ):
        result = sluice(*given, *options)
        assert result.exit_code == 1
        assert told in result.output
    np.save(rows, points(11))
    assert "holds a run with other inputs: " in sluice(*given).output
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("dear")
    assert "holds other files, such as letter.txt" in sluice(*given[:-1], f"{tmp_path}/full").output


def test_options_that_do_not_go_together_are_refused(sluice: Sluice, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", points(10))
    given = ("score", "--model", "points", tmp_path / "rows.npy")
    for options, told in (
        (("-o", f"{tmp_path}/out/", "--fdr", 0.1), "--fdr does not go with a folder"),
        (("-o", f"{tmp_path}/out/", "--format", "csv"), "--format does not go with a folder"),
        (("--part-rows", 10), "--part-rows needs a folder"),
        (("--devices", "cpu,cpu"), "--devices needs a folder"),
    ):
        result = sluice(*given, *options)
        assert result.exit_code == 2
        assert told in result.output
    assert "is too many for one file" in sluice("sample", "-n", 100_001, "-o", tmp_path / "a.npy").output
    assert not (tmp_path / "out").exists()
