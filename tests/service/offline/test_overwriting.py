"""No output takes the place of what is read, nor joins it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.service.helpers import images, picture

Sluice = Callable[..., Result]


@pytest.fixture
def sluice(calibrated_store: Path) -> Sluice:
    """A command over the models of the tests."""
    options = ["--store", str(calibrated_store), "--device", "cpu"]
    return lambda command, *arguments: CliRunner().invoke(main, [command, *options, *map(str, arguments)])


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "inner").mkdir(parents=True)
    for name, image in zip(("0.png", "inner/1.png"), images(2), strict=True):
        (folder / name).write_bytes(picture(image))
    return folder


def bytes_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("option", ["-o", "--histogram"])
@pytest.mark.parametrize("output", ["same.csv", "link.csv", "hard.csv", "album/../same.csv"])
def test_a_file_that_is_scored_is_not_replaced(sluice: Sluice, tmp_path: Path, option: str, output: str) -> None:
    (tmp_path / "album").mkdir()
    np.savetxt(tmp_path / "same.csv", np.zeros((3, 2)), delimiter=",")
    (tmp_path / "link.csv").symlink_to("same.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "same.csv")
    before = bytes_in(tmp_path)
    result = sluice("score", tmp_path / "same.csv", "--model", "points", option, tmp_path / output)
    assert result.exit_code == 1
    name = {"-o": "--output"}.get(option, option)
    assert result.stderr == f"Error: {name}: {tmp_path / output} is a file that is read; name another one\n"
    assert bytes_in(tmp_path) == before


@pytest.mark.parametrize("option", ["-o", "--histogram"])
@pytest.mark.parametrize(
    "output", ["album/0.png", "album/inner/1.png", "link/0.png", "alias.png", "album/new.png", "album/inner/new.csv"]
)
def test_what_a_folder_that_is_scored_holds_or_would_hold_is_refused(
    sluice: Sluice, album: Path, tmp_path: Path, option: str, output: str
) -> None:
    (tmp_path / "link").symlink_to(album)
    (tmp_path / "far.png").write_bytes(picture(images(1)[0]))
    (album / "far.png").symlink_to(tmp_path / "far.png")
    (tmp_path / "alias.png").symlink_to("far.png")
    before = bytes_in(tmp_path)
    result = sluice("score", album, option, tmp_path / output)
    assert result.exit_code == 1
    assert f"{tmp_path / output} " in result.stderr
    assert "name another one" in result.stderr
    assert bytes_in(tmp_path) == before


@pytest.mark.parametrize("output", ["album/scores.jsonl", "album/.scores.csv", "album/.hidden/scores.csv", "a/0.csv"])
def test_what_no_run_would_read_may_lie_in_the_folder(sluice: Sluice, album: Path, tmp_path: Path, output: str) -> None:
    (album / ".hidden").mkdir()
    (tmp_path / "a").mkdir()
    for _ in range(2):
        result = sluice("score", album, "-o", tmp_path / output)
        assert result.exit_code == 0, result.output
        assert "2 items" in result.stderr


@pytest.mark.parametrize("output", ["0.png", "mask.png"])
def test_neither_a_picture_nor_its_mask_is_replaced_by_what_is_filled_in(
    sluice: Sluice, album: Path, output: str
) -> None:
    (album / "mask.png").write_bytes(picture(images(1)[0]))
    before = bytes_in(album)
    result = sluice("inpaint", album / "0.png", "--mask", album / "mask.png", "--steps", 2, "-o", album / output)
    assert result.exit_code == 1
    assert "is a file that is read; name another one" in result.stderr
    assert bytes_in(album) == before


@pytest.mark.parametrize("output", ["album/", "album/scores/", "link/inner/scores/"])
@pytest.mark.parametrize("command", ["score", "inpaint"])
def test_the_folder_of_a_bulk_run_does_not_lie_in_one_that_is_read(
    sluice: Sluice, album: Path, tmp_path: Path, command: str, output: str
) -> None:
    (tmp_path / "link").symlink_to(album)
    before = sorted(tmp_path.rglob("*"))
    result = sluice(command, album, "-o", f"{tmp_path}/{output}")
    assert result.exit_code == 1
    assert f"--output: {tmp_path / output} is or lies in {album}" in result.stderr
    assert "name a folder outside it" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bulk_run_into_a_hidden_folder_of_its_input_goes_on(sluice: Sluice, album: Path) -> None:
    for _ in range(2):
        result = sluice("score", album, "-o", f"{album}/.scores/")
        assert result.exit_code == 0, result.output
