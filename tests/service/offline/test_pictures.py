"""`sluice score` and `sluice inpaint` with a model that takes pictures of any size."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pictures import Preparation
from service.cli import main
from service.offline.picture_sources import picture_sources
from service.offline.sources import ANY_PICTURES
from tests.service.helpers import running
from tests.service.offline.archives import archive_of, encrypted, overwritten, undecodable
from tests.service.pictures import publish_pictures, surface, with_hole
from trainer.data.folder import SUFFIXES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    publish_pictures(root)
    publish_pictures(root, "colour", colours=3)
    publish_pictures(root, "parts", aligned=True)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "new"
    path.mkdir()
    items = surface(3, seed=21, least=24)
    for number, item in enumerate([*items, with_hole(items[0])]):
        Image.fromarray(item).save(path / f"{number}.png")
    return path


def score(store: Path, *arguments: Any) -> Result:
    return CliRunner().invoke(main, ["score", "--store", str(store), "--device", "cpu", *map(str, arguments)])


def lines_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_folder_of_several_sizes_gets_verdicts_maps_and_regions(store: Path, folder: Path, tmp_path: Path) -> None:
    result = score(store, folder, "--model", "surface", "--maps", tmp_path / "maps", "--json", "--alpha", 0.05)
    rows = lines_of(result)
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png", "3.png"]
    assert rows[3]["anomalous"]
    assert rows[3]["regions"]
    assert "p-value of all together" in result.stderr
    for number in range(4):
        item = np.asarray(Image.open(folder / f"{number}.png"))
        found = np.load(tmp_path / f"maps/{number}.npy")
        assert found.shape == item.shape
        assert np.isfinite(found).all()
        assert Image.open(tmp_path / f"maps/{number}.png").width > item.shape[1]


def test_the_service_answers_the_same(store: Path, folder: Path) -> None:
    async def answered() -> Any:
        async with running(store, threads=1) as service:
            files = [("files", (path.name, path.read_bytes(), "image/png")) for path in sorted(folder.iterdir())]
            return await service.post_json("/score?model=surface", files=files)

    rows = lines_of(score(store, folder, "--model", "surface", "--json"))
    found = asyncio.run(answered())
    for row, item in zip(rows, found["items"], strict=True):
        assert (row["log_likelihood"], row["p_value"]) == (item["log_likelihood"], item["p_value"])


def test_a_picture_that_cannot_be_used_is_told_in_its_row(store: Path, folder: Path) -> None:
    (folder / "2.png").write_bytes(b"damaged")
    Image.new("RGB", (30, 30)).save(folder / "4.png")
    Image.open(folder / "1.png").save(folder / "1.png", exif=b"Exif\0\0garbage-not")
    Image.fromarray(surface(1, seed=24)[0]).save(folder / "5.tif")
    Image.new("1", (5000, 4000), 1).save(folder / "6.png")
    rows = lines_of(score(store, folder, "--model", "surface", "--json"))
    assert "not a whole PNG" in rows[2]["reason"]
    assert "in colour" in rows[4]["reason"]
    assert [row["log_likelihood"] is None for row in rows] == [False, False, True, False, True, False, False]


def test_pictures_of_another_scale_than_the_calibrating_ones_are_told_at_the_end(store: Path, folder: Path) -> None:
    assert "note:" not in score(store, folder, "--model", "surface", "--json").stderr
    (folder / "2.png").write_bytes(b"damaged")
    for name, times in (("0.png", 3), ("1.png", 5)):
        item = Image.open(folder / name)
        item.resize((item.width * times, item.height * times)).save(folder / name)
    result = score(store, folder, "--model", "surface", "--json")
    assert len(lines_of(result)) == 4
    assert "note: 2 of 3 pictures were scaled down" in result.stderr
    assert "those that p-values rest on 1.0 times" in result.stderr


def test_a_picture_of_another_size_than_aligned_ones_is_told_in_its_row(store: Path, tmp_path: Path) -> None:
    items = surface(3, seed=25, least=30)
    for number, item in enumerate([items[0][:24, :24], items[1][:30, :28], items[2][:24, :24]]):
        Image.fromarray(item).save(tmp_path / f"{number}.png")
    rows = lines_of(score(store, tmp_path, "--model", "parts", "--json"))
    assert [row["log_likelihood"] is None for row in rows] == [False, True, False]
    assert rows[1]["reason"] == "the picture is 28x30; the model scores aligned pictures of 24x24 alone"


def test_arrays_and_discoveries_work_as_with_any_model(store: Path, tmp_path: Path) -> None:
    items = np.stack([item[:24, :24] for item in surface(6, seed=22, least=24, most=25)])
    items[5] = with_hole(items[5])
    np.save(tmp_path / "batch.npy", items)
    np.save(tmp_path / "one.npy", items[5])
    rows = lines_of(
        score(store, tmp_path / "batch.npy", tmp_path / "one.npy", "--model", "surface", "--json", "--fdr", 0.5)
    )
    assert len(rows) == 7
    assert rows[5]["p_value"] == rows[6]["p_value"]
    assert all(isinstance(row["discovery"], bool) for row in rows)


def test_an_array_that_cannot_be_used_is_told_in_its_rows(store: Path, tmp_path: Path) -> None:
    items = np.stack([item[:24, :24] for item in surface(3, seed=26, least=24, most=25)])
    fractions = items / 255
    fractions[1, 3, 3] = 2
    np.save(tmp_path / "0.npy", fractions)
    np.save(tmp_path / "1.npy", items[0, :4])
    np.save(tmp_path / "2.npy", items[0, 0])
    np.save(tmp_path / "3.npy", items[:0])
    np.savez(tmp_path / "4.npz", small=items[:2, :, :5], good=items[0])
    rows = lines_of(score(store, tmp_path, "--model", "surface", "--json"))
    scored = [row["log_likelihood"] is not None for row in rows]
    assert scored == [True, False, True, False, False, False, False, False, True]
    reasons = [str(row["reason"]) for row in rows]
    assert reasons[1] == "item 1 holds a number outside [0, 1]"
    assert "24x4" in reasons[3]
    assert reasons[4] == "the picture must be of shape (H, W), not (24,)"
    assert reasons[5] == "the picture must be of shape (H, W), not (0, 24, 24)"
    assert "5x24" in reasons[6]
    assert [row["item"] for row in rows[5:8]] == [0, 0, 1]


@pytest.mark.parametrize("kind", ["flipped", "undecodable", "encrypted"])
def test_a_damaged_archive_of_arrays_is_named(store: Path, tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    damaged = {"flipped": overwritten(archive_of(pixels), 8000), "undecodable": undecodable(pixels)}
    (tmp_path / "many.npz").write_bytes(damaged.get(kind) or encrypted(pixels))
    result = score(store, tmp_path / "many.npz", "--model", "surface", "--json")
    assert result.exit_code == 1
    assert "many.npz: cannot be read: " in result.stderr
    assert "Traceback" not in result.output


def test_every_ending_that_pictures_are_trained_from_is_scored(store: Path, folder: Path) -> None:
    assert set(ANY_PICTURES) == SUFFIXES
    Image.open(folder / "0.png").save(folder / "0.jfif", "JPEG")
    rows = lines_of(score(store, folder, "--model", "surface", "--json"))
    assert [Path(row["file"]).name for row in rows] == ["0.jfif", "0.png", "1.png", "2.png", "3.png"]
    assert rows[0]["log_likelihood"] is not None


def test_batches_of_an_array_fit_a_request_however_large_its_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.zeros((17, 1024, 1024), np.uint8))
    (source,) = picture_sources([tmp_path / "large.npy"], Preparation(1024, 1), fit=False)
    batches = list(source.batches(10_000))
    assert [len(batch.items) for batch in batches] == [4, 4, 4, 4, 1]
    assert [place.item for batch in batches for place in batch.places] == list(range(17))


def test_a_colour_model_scores_and_draws_colour(store: Path, tmp_path: Path) -> None:
    item = surface(1, seed=23, colours=3)[0]
    Image.fromarray(item).save(tmp_path / "one.png")
    rows = lines_of(score(store, tmp_path / "one.png", "--model", "colour", "--maps", tmp_path / "maps", "--json"))
    assert rows[0]["bits_per_dim"] == pytest.approx(8 - rows[0]["log_likelihood"] / (item.size * np.log(2)))
    histogram = tmp_path / "scores.png"
    assert score(store, tmp_path / "one.png", "--model", "colour", "--histogram", histogram).exit_code == 0
    assert Image.open(io.BytesIO(histogram.read_bytes())).format == "PNG"


def test_a_bulk_run_of_such_a_model_is_refused(store: Path, folder: Path, tmp_path: Path) -> None:
    result = score(store, folder, "--model", "surface", "--output", f"{tmp_path}/parts/")
    assert result.exit_code == 1
    assert "scores pictures of any size, into a file" in result.output


def test_a_hole_in_a_picture_of_any_size_is_filled_in(store: Path, folder: Path, tmp_path: Path) -> None:
    item = np.asarray(Image.open(folder / "3.png"))
    mask = np.zeros(item.shape, dtype=np.uint8)
    mask[4:12, 4:12] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    options = ["--model", "surface", "--steps", 2, "--seed", 1, "--store", store, "--device", "cpu"]
    command = ["inpaint", folder / "3.png", "--mask", tmp_path / "mask.png", *options, "-o", tmp_path / "whole.png"]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 0, result.output
    found = np.asarray(Image.open(tmp_path / "whole.png"))
    np.testing.assert_array_equal(found[mask == 0], item[mask == 0])
    assert (found[mask > 0] != item[mask > 0]).any()


def test_maps_of_several_pictures_never_share_a_name(store: Path, tmp_path: Path) -> None:
    items = surface(4, seed=25, least=24)
    names = ["cam1/shot-2.png", "cam1/shot.png", "cam2/shot.png", "cam3/shot-2.png"]
    for name, item in zip(names, items, strict=True):
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(tmp_path / "new" / name)
    np.save(tmp_path / "new/cam3/shot.npy", items[0])
    lines_of(score(store, tmp_path / "new", "--model", "surface", "--maps", tmp_path / "maps", "--json"))
    maps = {path.stem: np.load(path).shape for path in (tmp_path / "maps").glob("*.npy")}
    assert maps == {
        "shot-2": items[0].shape,
        "shot": items[1].shape,
        "shot-3": items[2].shape,
        "shot-2-2": items[3].shape,
        "shot-0": items[0].shape,
    }
    assert {path.stem for path in (tmp_path / "maps").glob("*.png")} == set(maps)


@pytest.mark.parametrize(
    ("given", "maps"),
    [("new", "new"), ("new", "new/maps"), ("new", "link/maps"), ("new/0.png", "new"), ("aside.png", "new"), ("b", "b")],
)
def test_maps_are_not_written_over_or_among_what_is_scored(
    store: Path, folder: Path, tmp_path: Path, given: str, maps: str
) -> None:
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "aside.png").symlink_to(folder / "1.png")
    (folder / "aside.png").hardlink_to(folder / "1.png")
    (tmp_path / "b").mkdir()
    files = [tmp_path / given]
    if given == "b":
        files = [tmp_path / "b/many.npy", tmp_path / "b/many-1.npy"]
        for path in files:
            np.save(path, np.stack([surface(1, seed=26)[0][:20, :20]] * 2))
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    result = score(store, *files, "--model", "surface", "--maps", tmp_path / maps, "--json")
    assert result.exit_code == 1
    assert "--maps: " in result.stderr
    assert "name another folder" in result.stderr
    assert not result.stdout
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before


def test_maps_at_a_url_are_refused(store: Path, folder: Path) -> None:
    result = score(store, folder, "--model", "surface", "--maps", "s3://bucket/maps")
    assert result.exit_code == 2
    assert "Invalid value for '--maps': s3://bucket/maps is a URL" in result.stderr


def test_at_an_alpha_that_no_p_value_reaches_there_are_no_regions(store: Path, folder: Path, tmp_path: Path) -> None:
    wish = (folder, "--model", "surface", "--maps", tmp_path / "maps", "--json", "--alpha", 0.0001)
    assert all(row["regions"] is None and row["anomalous"] is None for row in lines_of(score(store, *wish)))


def test_hidden_files_of_a_folder_are_no_pictures(store: Path, folder: Path) -> None:
    (folder / "._0.png").write_bytes(b"notes of a system")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails/1.png").write_bytes((folder / "1.png").read_bytes())
    rows = lines_of(score(store, folder, "--model", "surface", "--json"))
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png", "3.png"]


def test_a_picture_that_cannot_be_read_is_told_in_its_row(
    store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def gone(path: Path) -> bytes:
        if path.name == "1.png":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", gone)
    rows = lines_of(score(store, folder, "--model", "surface", "--json"))
    assert [row["log_likelihood"] is None for row in rows] == [False, True, False, False]
    assert rows[1]["reason"] == "the file cannot be read: No such file or directory"


def test_a_picture_that_nobody_judged_does_not_pass_as_ordinary(store: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "3.png").unlink()  # the faulty one
    wish = ("--model", "surface", "--alpha", 0.05, "--fail-anomalous", "--json")
    assert score(store, folder, *wish).exit_code == 0
    (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:90])
    found = score(store, folder, *wish, "--maps", tmp_path / "maps")
    assert found.exit_code == 1
    assert "1 items could not be scored, so nobody judged them" in found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["regions"] for row in rows] == [[], [], [], None]
    Image.fromarray(with_hole(surface(1, seed=21)[0])).save(folder / "hole.png")
    assert score(store, folder, *wish).exit_code == 3


def test_of_an_animation_the_first_picture_is_scored(store: Path, folder: Path, tmp_path: Path) -> None:
    first, *others = (Image.open(folder / f"{number}.png") for number in range(3))
    first.save(tmp_path / "film.gif", save_all=True, append_images=others)
    (alone,) = lines_of(score(store, folder / "0.png", "--model", "surface", "--json"))
    (row,) = lines_of(score(store, tmp_path / "film.gif", "--model", "surface", "--json"))
    assert row["log_likelihood"] == alone["log_likelihood"]


def test_a_picture_of_other_colours_names_the_option_that_converts(store: Path, tmp_path: Path) -> None:
    Image.new("RGB", (24, 24), (200, 30, 40)).save(tmp_path / "red.png")
    result = score(store, tmp_path / "red.png", "--model", "surface", "--json")
    assert "--fit converts" in result.output
    assert "fit=true" not in result.output


def test_maps_may_be_written_beside_an_array_and_again(store: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", np.stack([surface(1, seed=27)[0][:20, :20]] * 2))
    for _ in range(2):
        lines_of(score(store, tmp_path / "batch.npy", "--model", "surface", "--maps", tmp_path, "--json"))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"batch.npy", *(f"batch-{row}.{kind}" for row in (0, 1) for kind in ("png", "npy"))}
