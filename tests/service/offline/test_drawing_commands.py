"""`sluice sample`, `inpaint` and `bench`: the answers of the service, without one."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from service.cli import main
from tests.service.helpers import HALF, images, multipart, picture, running
from tests.service.tables import publish_homes

Sluice = Callable[..., Result]


@pytest.fixture
def sluice(store: Path) -> Sluice:
    """A command over the models of the tests."""
    options = ["--store", str(store), "--device", "cpu"]

    def run(command: str, *arguments: object) -> Result:
        return CliRunner().invoke(main, [command, *options, *map(str, arguments)])

    return run


@pytest.mark.anyio
async def test_what_is_drawn_and_filled_in_is_what_the_service_answers(
    sluice: Sluice, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "image.png").write_bytes(picture(images(1)[0]))
    (tmp_path / "mask.png").write_bytes(picture(HALF))
    # Each command runs an event loop of its own.
    drawn = await asyncio.to_thread(sluice, "sample", "-n", 300, "--seed", 3, "-o", tmp_path / "items.npy")
    grid = await asyncio.to_thread(sluice, "sample", "-n", 9, "--seed", 3, "-o", tmp_path / "grid.png")
    options = ("--mask", tmp_path / "mask.png", "-n", 2, "--steps", 20, "--seed", 4)
    filled = await asyncio.to_thread(sluice, "inpaint", tmp_path / "image.png", *options, "--json")
    shown = await asyncio.to_thread(sluice, "inpaint", tmp_path / "image.png", *options, "-o", tmp_path / "out.png")
    for result in (drawn, grid, filled, shown):
        assert result.exit_code == 0, result.output
    async with running(store) as service:
        npy = await service.http.post("/sample?n=300&seed=3", headers={"accept": "application/x-npy"})
        png = await service.http.post("/sample?n=9&seed=3")
        query = "/inpaint?n=2&steps=20&seed=4"
        completions = await service.post_json(query, **multipart(images(1)[0]))
        pictured = await service.http.post(query, **multipart(images(1)[0]))
    assert (tmp_path / "items.npy").read_bytes() == npy.content
    assert (tmp_path / "grid.png").read_bytes() == png.content
    assert json.loads(filled.stdout) == completions
    assert (tmp_path / "out.png").read_bytes() == pictured.content
    assert "digits@1: 300 items, seed 3" in drawn.stderr
    assert "2 completions, seed 4" in shown.stderr


def test_samples_are_numbers_a_picture_or_json(sluice: Sluice, tmp_path: Path) -> None:
    told = json.loads(sluice("sample", "--model", "points", "-n", 3, "--seed", 1, "--json").stdout)
    assert (told["model"], told["seed"], np.shape(told["items"])) == ("points@1", 1, (3, 2))
    piped = sluice("sample", "--model", "points", "-n", 3, "--seed", 1, "--format", "npy")
    assert np.load(io.BytesIO(piped.stdout_bytes)).tolist() == told["items"]
    scatter = sluice("sample", "--model", "points", "-n", 30)
    assert Image.open(io.BytesIO(scatter.stdout_bytes)).size == (512, 512)
    named = sluice("sample", "-n", 2, "--json", "-o", tmp_path / "two.png")
    assert json.loads(named.stdout)["output"] == str(tmp_path / "two.png")
    # Without a seed one is drawn and told.
    seed = json.loads(sluice("sample", "--model", "points", "--json").stdout)["seed"]
    assert seed != json.loads(sluice("sample", "--model", "points", "--json").stdout)["seed"]


def test_an_inpainting_takes_arrays_with_gaps_and_gives_animations(sluice: Sluice, tmp_path: Path) -> None:
    np.save(tmp_path / "row.npy", np.array([0.5, np.nan]))
    row = json.loads(sluice("inpaint", tmp_path / "row.npy", "--model", "points", "--steps", 5, "--json").stdout)
    assert row["items"][0]["pixels"][0] == 0.5
    done = sluice("inpaint", tmp_path / "row.npy", "--model", "points", "--steps", 5, "-o", tmp_path / "full.npy")
    assert done.exit_code == 0, done.output
    assert np.isfinite(np.load(tmp_path / "full.npy")).all()
    np.save(tmp_path / "image.npy", images(1)[0])
    np.save(tmp_path / "mask.npy", HALF > 0)
    options = (tmp_path / "image.npy", "--mask", tmp_path / "mask.npy", "--steps", 10)
    for name, form in (("way.gif", "GIF"), ("way.webp", "WEBP")):
        assert sluice("inpaint", *options, "-o", tmp_path / name).exit_code == 0
        assert Image.open(tmp_path / name).format == form
    told = json.loads(sluice("inpaint", *options, "-o", tmp_path / "o.png", "--json").stdout)
    assert "pixels" not in told["items"][0]
    assert told["output"] == str(tmp_path / "o.png")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sample", "-n", "0"], 2, "range"),
        (["sample", "--model", "nobody"], 1, "no model 'nobody'"),
        (["inpaint", "absent.png"], 2, "does not exist"),
        (["inpaint", "notes.txt"], 1, "notes.txt: files end in .png"),
        (["inpaint", "broken.png", "--mask", "mask.png"], 1, "not a whole PNG or JPEG"),
        (["inpaint", "image.png"], 1, "send a mask"),
        (["inpaint", "image.png", "--mask", "large.png"], 1, "mask is 9x9"),
        (["inpaint", "row.npy", "--model", "points", "--method", "magic"], 2, "magic"),
        (["inpaint", "row.npy", "--model", "points", "-o", "way.gif"], 2, "written as gif: use .png, .npy or .json"),
        (["sample", "--model", "points", "-n", "2", "-o", "two.jpg"], 2, "two.jpg: .jpg is no form: use .png, .npy or"),
        (["sample", "--format", "csv"], 2, "digits@1 cannot be written as csv: use --format png, npy or json"),
    ],
)
def test_refusals_name_the_fault(
    sluice: Sluice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, data in {
        "notes.txt": b"",
        "broken.png": picture(images(1)[0])[:-20],
        "image.png": picture(images(1)[0]),
        "mask.png": picture(HALF),
        "large.png": picture(np.zeros((9, 9), np.uint8)),
    }.items():
        Path(name).write_bytes(data)
    np.save("row.npy", np.array([0.5, np.nan]))
    result = sluice(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.output


def test_vectors_of_many_entries_have_no_picture(tmp_path: Path) -> None:
    from tests.service.helpers import publish_small

    publish_small(tmp_path, "rows", (3,))
    runner, store = CliRunner(), ["--store", str(tmp_path), "--device", "cpu"]
    assert runner.invoke(main, ["sample", *store, "-n", "2", "-o", str(tmp_path / "rows.npy")]).exit_code == 0
    refused = runner.invoke(main, ["sample", *store, "--format", "png", "-o", str(tmp_path / "rows.png")])
    assert refused.exit_code == 2
    assert "--format npy" in refused.output


@pytest.mark.anyio
async def test_rows_of_a_table_are_in_the_units_of_its_columns_as_the_service_answers_them(tmp_path: Path) -> None:
    publish_homes(tmp_path / "store")

    def run(command: str, *arguments: object) -> Result:
        options = ["--model", "homes", "--store", str(tmp_path / "store"), "--device", "cpu"]
        return CliRunner().invoke(main, [command, *options, *map(str, arguments)])

    drawing, filling = ("-n", 3, "--seed", 7), ("-n", 2, "--steps", 5, "--seed", 1)
    np.save(tmp_path / "row.npy", np.array([171.5, np.nan, 1, 19_700.0]))
    (tmp_path / "row.csv").write_text("height,rooms,colour,sold,garden\n171.5,,red,2023-12-09,9\n")
    told = await asyncio.to_thread(run, "sample", *drawing, "--json")
    row, named = [
        await asyncio.to_thread(run, "inpaint", tmp_path / name, *filling, "--json") for name in ("row.npy", "row.csv")
    ]
    for form in ("csv", "npy", "json"):
        for command, rest in (("sample", drawing), ("inpaint", (tmp_path / "row.npy", *filling))):
            done = await asyncio.to_thread(run, command, *rest, "-o", tmp_path / f"{command}.{form}")
            assert done.exit_code == 0, done.output
    async with running(tmp_path / "store") as service:
        sample, inpaint = "/sample?model=homes&n=3&seed=7", "/inpaint?model=homes&n=2&steps=5&seed=1"
        content, headers = (tmp_path / "row.npy").read_bytes(), {"content-type": "application/x-npy"}
        items = (await service.http.post(sample)).json()["items"]
        completions = await service.post_json(inpaint, content=content, headers=headers)
        answers = {}
        for form, kind in (("csv", "text/csv"), ("npy", "application/x-npy"), ("json", "application/json")):
            answers[f"sample.{form}"] = (await service.http.post(sample, headers={"accept": kind})).content
            filled = await service.http.post(inpaint, content=content, headers={**headers, "accept": kind})
            answers[f"inpaint.{form}"] = filled.content
    assert json.loads(told.stdout)["items"] == items
    assert isinstance(items[0]["sold"], str)
    assert json.loads(row.stdout) == completions
    assert completions["items"][0]["pixels"]["sold"] == "2023-12-09"
    assert json.loads(named.stdout)["items"] == completions["items"]
    assert any("garden" in note for note in json.loads(named.stdout)["notes"])
    for name, answer in answers.items():
        assert (tmp_path / name).read_bytes() == answer, name


def test_a_bench_tells_each_kind_of_work(sluice: Sluice) -> None:
    told = json.loads(sluice("bench", "--model", "points", "--seconds", 0.1, "--json").stdout)
    assert told["model"] == "points@1"
    assert told["device"] == "cpu"
    figures = {figure["work"]: figure for figure in told["figures"]}
    assert list(figures) == ["score 1", "score 16", "score 256", "sample 16", "inpaint"]
    for figure in figures.values():
        assert figure["requests"] >= 3
        assert figure["rate"] == pytest.approx(figure["items"] / figure["seconds"])
    assert 1 <= figures["inpaint"]["items"] <= 20
    text = sluice("bench", "--model", "points", "--seconds", 0.1).stdout
    assert text.startswith("points@1 on cpu in ")
    assert "items" in text
    assert "steps" in text
