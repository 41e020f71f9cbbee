"""`sluice score`: every kind of file, the answers of /score, and refusals that name the place."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from pyarrow import parquet

from service.cli import main
from tests.service.helpers import NPY, images, npy, picture, running
from tests.service.offline.archives import archive_of, encrypted, of_the_future, overwritten, undecodable

Score = Callable[..., Result]


@pytest.fixture
def score(calibrated_store: Path) -> Score:
    """The command over the models of the tests; arguments are paths and options."""
    options = ["score", "--store", str(calibrated_store), "--device", "cpu"]
    return lambda *arguments: CliRunner().invoke(main, [*options, *map(str, arguments)])


def rows_of(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def scores_of(result: Result) -> list[dict[str, str]]:
    """The rows without the places that they tell of."""
    return [{key: cell for key, cell in row.items() if key not in ("file", "item")} for row in rows_of(result)]


def points(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 2)).astype(np.float32)


def test_pictures_arrays_and_archives_of_the_same_images_get_the_same_scores(score: Score, tmp_path: Path) -> None:
    pixels = images(5)
    (tmp_path / "album/later").mkdir(parents=True)
    for name, image in zip(("album/a", "album/b", "album/c", "album/d", "album/later/a"), pixels, strict=True):
        (tmp_path / f"{name}.PNG").write_bytes(picture(image))
    np.save(tmp_path / "levels.npy", pixels)
    np.save(tmp_path / "scattered.npy", np.asfortranarray(pixels.astype(">i4")))
    np.savez(tmp_path / "fractions.npz", pixels / 255)
    np.savez_compressed(tmp_path / "scattered.npz", np.asfortranarray(pixels))
    np.savez_compressed(tmp_path / "two.npz", first=pixels[:3], second=pixels[3:])
    expected = scores_of(score(tmp_path / "levels.npy"))
    assert [row["p_value"] != "" for row in expected] == [True] * 5
    for name in ("album", "scattered.npy", "fractions.npz", "scattered.npz"):
        assert scores_of(score(tmp_path / name)) == expected, name
    two = rows_of(score(tmp_path / "two.npz"))
    first, second = f"{tmp_path}/two.npz:first", f"{tmp_path}/two.npz:second"
    assert [(row["file"], row["item"]) for row in two] == [
        *((first, str(i)) for i in range(3)),
        (second, "0"),
        (second, "1"),
    ]
    np.save(tmp_path / "one.npy", pixels[0])
    assert scores_of(score(tmp_path / "one.npy")) == expected[:1]


def test_a_jpeg_is_one_by_any_of_its_endings(score: Score, tmp_path: Path) -> None:
    Image.fromarray(images(1)[0]).save(tmp_path / "a.jpg")
    for ending in (".jpeg", ".jfif"):
        (tmp_path / f"a{ending}").write_bytes((tmp_path / "a.jpg").read_bytes())
    assert len({row["log_likelihood"] for row in rows_of(score(tmp_path))}) == 1
    assert [Path(row["file"]).suffix for row in rows_of(score(tmp_path))] == [".jfif", ".jpeg", ".jpg"]


def test_tables_of_vectors_get_the_scores_of_the_array(score: Score, tmp_path: Path) -> None:
    values = points(300)
    np.save(tmp_path / "array.npy", values)
    texts = [[repr(float(number)) for number in row] for row in values]
    (tmp_path / "named.csv").write_text("x, y\n" + "\n".join(map(",".join, texts)))
    (tmp_path / "bare.csv").write_text("\n\n".join(map(";".join, texts)) + "\n")
    parquet.write_table(pyarrow.table({"x": values[:, 0], "y": values[:, 1].astype(float)}), tmp_path / "t.parquet")
    expected = scores_of(score("--model", "points", tmp_path / "array.npy"))
    assert len(expected) == 300
    for name in ("named.csv", "bare.csv", "t.parquet"):
        found = score("--model", "points", tmp_path / name)
        assert scores_of(found) == expected, name
        assert rows_of(found)[299]["item"] == "299"


@pytest.mark.anyio
async def test_the_answers_are_those_of_the_service(score: Score, tmp_path: Path, calibrated_store: Path) -> None:
    pixels = images(700)
    np.save(tmp_path / "batch.npy", pixels)
    options = ("--seed", 5, "--alpha", 0.2, "--fdr", 0.3, "--format", "jsonl")
    result = await asyncio.to_thread(score, tmp_path / "batch.npy", *options)  # it runs an event loop of its own
    assert result.exit_code == 0, result.output
    offline = [json.loads(line) for line in result.stdout.splitlines()]
    async with running(calibrated_store) as service:
        online = await service.post_json("/score?seed=5&alpha=0.2&fdr=0.3", content=npy(pixels), headers=NPY)
    assert [{"file": f"{tmp_path}/batch.npy", "item": i, **item} for i, item in enumerate(online["items"])] == offline
    group = online["group"]
    assert f"digits@2: 700 items, mean log-likelihood {group['log_likelihood']:.6g} nats" in result.stderr
    assert f"p-value of all together {group['p_value']:.3g}" in result.stderr
    assert f"{sum(item['anomalous'] for item in offline)} anomalous at 0.2" in result.stderr


def test_parquet_holds_what_csv_holds(score: Score, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", images(300))
    assert score(tmp_path / "batch.npy", "-o", tmp_path / "scores.parquet").stdout == ""
    assert score(tmp_path / "batch.npy", "-o", tmp_path / "scores.csv").exit_code == 0
    typed = parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    with (tmp_path / "scores.csv").open(newline="") as file:
        text = list(csv.DictReader(file))
    assert [{key: "" if cell is None else str(cell) for key, cell in row.items()} for row in typed] == text
    assert isinstance(typed[0]["anomalous"], bool)
    assert typed[0]["discovery"] is None


def test_without_calibration_there_are_likelihoods_and_no_guesses(score: Score, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", images(3))
    result = score("--model", "uncalibrated", tmp_path / "batch.npy", "--fdr", 0.1)
    assert [row["p_value"] + row["anomalous"] + row["discovery"] for row in rows_of(result)] == [""] * 3
    assert "published without calibration" in result.stderr


def test_a_histogram_is_a_picture(score: Score, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", images(30))
    rows_of(score(tmp_path / "batch.npy", "--histogram", tmp_path / "drawn.png"))
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (1000, 400))
    refused = score("--model", "uncalibrated", tmp_path / "batch.npy", "--histogram", tmp_path / "none.png")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "without calibration" in refused.stderr


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Content by name, and what is said of it."""
    broken = images(300).astype(float) / 255
    broken[290, 1, 1] = np.nan
    whole = picture(images(1)[0])
    archive = archive_of(images(600))
    return {
        "cut.png": (whole[:-20], "cut.png: the file is not a whole PNG or JPEG picture"),
        "large.png": (picture(np.zeros((9, 8), np.uint8)), "large.png: the picture is 8x9"),
        "nan.npy": (npy(broken), "nan.npy: item 290 holds a number outside [0, 1]"),
        "levels.npy": (npy(images(3).astype(int) + 256), "levels.npy: item 0 holds a number outside 0 to 255"),
        "shape.npy": (
            npy(np.zeros((3, 9, 9))),
            "shape.npy: the array must be of shape (8, 8) or (N, ...), not (3, 9",
        ),
        "empty.npy": (npy(np.zeros((0, 8, 8))), "empty.npy: the array must be of shape (8, 8) or (N, ...)"),
        "scalar.npy": (npy(np.array(1.0)), "scalar.npy: the array must be of shape"),
        "cut.npy": (npy(images(3))[:-1], "cut.npy: its header claims 192 bytes of numbers; it holds 191"),
        "text.npy": (b"hello", "text.npy: not a readable npy array"),
        "words.npy": (npy(np.array(["a", "b"])), "words.npy: an npy array must hold numbers"),
        "objects.npy": (npy(np.array([object()]), allow_pickle=True), "objects.npy: an npy array must hold numbers"),
        "cut.npz": (archive[:-100], "cut.npz: cannot be read"),
        "flipped.npz": (overwritten(archive, 3000), "flipped.npz:arr_0: cannot be read"),
        "undecodable.npz": (undecodable(images(600)), "undecodable.npz:arr_0: cannot be read"),
        "future.npz": (of_the_future(images(600)), "future.npz: cannot be read"),
        "encrypted.npz": (encrypted(images(600)), "encrypted.npz: cannot be read"),
        "table.csv": (b"1,2\n", "table.csv: is a table of numbers; the model takes images"),
        "notes.txt": (b"", "notes.txt: files to score end in .png"),
    }


@pytest.mark.parametrize("name", bad_files())
def test_a_bad_file_of_images_is_named_with_its_item(score: Score, tmp_path: Path, name: str) -> None:
    content, complaint = bad_files()[name]
    (tmp_path / name).write_bytes(content)
    assert_refused(score(tmp_path / name), complaint)


def parquet_bytes(**columns: Any) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


BAD_TABLES = {
    "wide.csv": (b"1,2,3\n", "wide.csv: has 3 columns; the model's items are vectors of 2"),
    "empty.csv": (b"", "empty.csv: is empty"),
    "names.csv": (b"x,y\n", "names.csv: has no rows"),
    "binary.csv": (b"\xff\xfe\x00", "binary.csv: is empty"),
    "word.parquet": (parquet_bytes(x=[1.0], y=["two"]), "none of the 1 rows could be scored"),
    "cut.parquet": (parquet_bytes(x=[1.0], y=[2.0])[:-9], "cut.parquet: cannot be read"),
    "far.npy": (npy(np.array([[0, 1], [np.inf, 0]])), "far.npy: item 1 holds a number outside the finite numbers"),
    "picture.png": (picture(images(1)[0]), "picture.png: the model's items are no pictures"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_file_of_vectors_is_named_with_item_and_column(score: Score, tmp_path: Path, name: str) -> None:
    content, complaint = BAD_TABLES[name]
    (tmp_path / name).write_bytes(content)
    assert_refused(score("--model", "points", tmp_path / name), complaint)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("word.csv", b"x,y\n1,2\n3,four\n5,6\n", "column 'y' 'four' is not a number"),
        ("gap.csv", b"x,y\n1,2\n,4\n5,6\n", "column 'x' is missing"),
        ("na.csv", b"x,y\n1,2\nNA,4\n5,6\n", "column 'x' is missing"),
        ("large.csv", b"x,y\n1,2\n1,1e39\n5,6\n", "column 'y' is too large for float32"),
        ("short.csv", b"x,y\n1,2\n3\n5,6\n", "has 1 fields where there are 2 columns"),
        ("gap.parquet", parquet_bytes(x=[1.0, 2.0, 5.0], y=[2, None, 6]), "column 'y' is missing"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--fdr", "0.5"]])
def test_a_bad_row_has_a_reason_and_the_others_are_scored(
    score: Score, tmp_path: Path, name: str, content: bytes, reason: str, options: list[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.csv").write_bytes(b"x,y\n1,2\n5,6\n")
    rows = rows_of(score("--model", "points", tmp_path / name, *options))
    good = rows_of(score("--model", "points", tmp_path / "good.csv", *options))
    assert [row["item"] for row in rows] == ["0", "1", "2"]
    assert rows[1]["reason"] == reason
    assert rows[1]["log_likelihood"] == rows[1]["p_value"] == ""
    assert [rows[0]["log_likelihood"], rows[2]["log_likelihood"]] == [row["log_likelihood"] for row in good]


def test_an_error_leaves_no_output_behind(score: Score, tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_bytes(b"1,2,3\n")
    (tmp_path / "scores.csv").write_text("of yesterday")
    assert_refused(score("--model", "points", tmp_path / "wide.csv", "-o", tmp_path / "scores.csv"), "has 3 columns")
    assert (tmp_path / "scores.csv").read_text() == "of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "wide.csv"]


def test_plain_csv_is_scored_without_pyarrow(score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_bytes(b"x,y\n1,2\n3,four\n5,6\n")
    expected = scores_of(score("--model", "points", tmp_path / "t.csv"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert scores_of(score("--model", "points", tmp_path / "t.csv")) == expected


def test_a_bad_file_among_good_ones_in_a_folder_is_named(score: Score, tmp_path: Path) -> None:
    assert_refused(score(tmp_path), "holds no file that ends in .png")
    for index, image in enumerate(images(4)):
        (tmp_path / f"{index}.png").write_bytes(picture(image))
    (tmp_path / "2.png").write_bytes(b"no picture")
    assert_refused(score(tmp_path), "2.png: the file is not a whole PNG or JPEG picture")


def test_a_picture_of_another_size_is_converted_on_demand(score: Score, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(picture(np.zeros((16, 16, 3), np.uint8)))
    assert len(rows_of(score(tmp_path / "large.png", "--fit"))) == 1


@pytest.mark.parametrize("arguments", ["--alpha=0", "--alpha=1", "--alpha=nan", "--fdr=1.5", "--seed=-1", "none.npy"])
def test_wrong_usage_exits_with_status_two(score: Score, tmp_path: Path, arguments: str) -> None:
    np.save(tmp_path / "batch.npy", images(1))
    assert score(tmp_path / "batch.npy", arguments).exit_code == 2


def test_what_is_not_installed_is_asked_for_by_name(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "batch.npy", images(1))
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(x=[1.0], y=[2.0]))
    for module in ("pyarrow", "matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    assert_refused(
        score(tmp_path / "batch.npy", "--format", "parquet"), "pyarrow is needed: pip install 'sluice[data]'"
    )
    assert_refused(score("--model", "points", tmp_path / "t.parquet"), "pyarrow is needed: pip install 'sluice[data]'")
    drawn = score(tmp_path / "batch.npy", "--histogram", tmp_path / "drawn.png")
    assert_refused(drawn, "matplotlib is needed: pip install 'sluice[train]'")


def test_an_unknown_model_and_an_output_that_cannot_be_written_are_errors(score: Score, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", images(1))
    assert_refused(score(tmp_path / "batch.npy", "--model", "nobody"), "there is no model 'nobody'")
    assert_refused(
        score(tmp_path / "batch.npy", "-o", tmp_path / "no/such/folder.csv"), "folder.csv: cannot be written"
    )


def assert_refused(result: Result, complaint: str) -> None:
    assert result.exit_code == 1, result.output
    assert complaint in result.stderr
    assert "Traceback" not in result.output


def test_an_exit_code_tells_a_program_that_an_item_is_anomalous(score: Score, tmp_path: Path) -> None:
    np.save(tmp_path / "far.npy", points(3) + 30)
    assert score("--model", "points", tmp_path / "far.npy").exit_code == 0
    found = score("--model", "points", tmp_path / "far.npy", "--fail-anomalous", "--json")
    assert found.exit_code == 3
    assert [json.loads(line)["anomalous"] for line in found.stdout.splitlines()] == [True] * 3
    assert score("--model", "points", tmp_path / "far.npy", "--json", "--format", "csv").exit_code == 2
    np.save(tmp_path / "near.npy", points(3))
    assert score("--model", "points", tmp_path / "near.npy", "--alpha", 0.005, "--fail-anomalous").exit_code == 0


@pytest.mark.parametrize("into_folder", [False, True])
def test_an_alpha_that_no_p_value_reaches_cannot_be_waited_for(score: Score, tmp_path: Path, into_folder: bool) -> None:
    np.save(tmp_path / "far.npy", points(3) + 30)
    to = f"{tmp_path}/scores/" if into_folder else tmp_path / "scores.csv"
    options = ("--model", "points", tmp_path / "far.npy", "--alpha", 1e-9)
    found = score(*options, "--output", to)
    assert found.exit_code == 0
    assert "no verdict at 1e-09" in found.stderr
    assert_refused(score(*options, "--output", to, "--fail-anomalous"), "--fail-anomalous: no verdict at 1e-09, since")


def test_the_formats_of_the_help_are_those_that_can_be_written() -> None:
    from service.offline import outputs, score_command

    assert set(score_command._FORMATS) == set(outputs.FORMATS)


def test_maps_are_written_beside_the_scores_for_people_and_for_programs(score: Score, tmp_path: Path) -> None:
    pixels = images(3)
    (tmp_path / "album").mkdir()
    Image.fromarray(pixels[0]).save(tmp_path / "album/first.png")
    np.save(tmp_path / "album/more.npy", pixels[1:])
    result = score(tmp_path / "album", "--maps", tmp_path / "maps", "--json", "--fdr", "0.1")
    assert result.exit_code == 0, result.output
    assert all(isinstance(json.loads(line)["regions"], list) for line in result.stdout.splitlines())
    written = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert written == sorted(f"{name}.{kind}" for name in ("first", "more-0", "more-1") for kind in ("npy", "png"))
    assert np.load(tmp_path / "maps/first.npy").shape == (8, 8)
    with Image.open(tmp_path / "maps/more-1.png") as shown:
        assert shown.mode == "RGB"
    plain = score(tmp_path / "album", "--json", "--fdr", "0.1")
    assert all("regions" not in json.loads(line) for line in plain.stdout.splitlines())


def test_maps_of_a_model_without_them_are_refused(score: Score, tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", points(2))
    result = score(tmp_path / "points.npy", "--model", "points", "--maps", tmp_path / "maps")
    assert result.exit_code == 1
    assert "--maps" in result.stderr
    assert not (tmp_path / "maps").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="only a machine without a GPU is told that it has none")
def test_that_there_is_no_gpu_is_told_once(score: Score, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "levels.npy", images(2))
    assert score(tmp_path / "levels.npy", "--device", "auto").exit_code == 0
    assert caplog.messages.count("computing on the CPU: PyTorch finds no GPU") == 1
