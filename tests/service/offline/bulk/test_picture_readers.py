"""Processes that read pictures for a bulk run: the same rows, and what is told when one dies."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from service.cli import main
from service.media.items import ItemSpec
from service.offline.bulk import picture_readers, worker
from service.offline.bulk.picture_decoding import PictureDecoder
from service.offline.bulk.picture_readers import PictureReaders, readers_beside
from service.offline.unusable import UnusableFile
from tests.service.helpers import HALF, images, picture

COUNT, DAMAGED = 23, 17


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Pictures in two folders, one of them damaged."""
    for place, image in enumerate(images(COUNT)):
        path = tmp_path / f"album/{place // 10}/{place:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(image) if place != DAMAGED else b"no picture")
    (tmp_path / "mask.png").write_bytes(picture(HALF))
    return tmp_path / "album"


def test_the_rows_are_those_of_a_run_that_reads_for_itself(
    calibrated_store: Path, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: str, name: str, *options: object) -> None:
        given = [command, "--store", str(calibrated_store), "--device", "cpu", str(album), *map(str, options)]
        result = CliRunner().invoke(main, [*given, "-o", f"{tmp_path}/{name}/"])
        assert result.exit_code == 0, result.output

    completing = ("--mask", tmp_path / "mask.png", "-n", 1, "--steps", 2, "--seed", 3)
    run("score", "alone", "--part-rows", 9)
    run("inpaint", "alone-filled", *completing)
    started: list[int] = []
    enter: Callable[[PictureReaders], PictureReaders] = PictureReaders.__enter__

    def entered(readers: PictureReaders) -> PictureReaders:
        started.append(readers._count)
        return enter(readers)

    monkeypatch.setattr(picture_readers, "WORTHWHILE", COUNT)
    monkeypatch.setattr(worker, "readers_beside", lambda _: 2)
    monkeypatch.setattr(PictureReaders, "__enter__", entered)
    run("score", "beside", "--part-rows", 9)
    run("inpaint", "beside-filled", *completing)
    assert started == [2, 2]
    for one, other in (("alone", "beside"), ("alone-filled", "beside-filled")):
        parts = sorted(path.name for path in (tmp_path / one).glob("part-*"))
        assert parts == sorted(path.name for path in (tmp_path / other).glob("part-*"))
        assert all((tmp_path / one / part).read_bytes() == (tmp_path / other / part).read_bytes() for part in parts)
    row = parquet.read_table(tmp_path / "beside").to_pylist()[DAMAGED]
    assert row["file"] == f"{album}/1/17.png"
    assert "picture" in row["reason"]
    assert json.loads((tmp_path / "beside/_summary.json").read_text())["unusable"] == 1


def test_a_process_that_dies_ends_the_run_and_is_told(album: Path) -> None:
    decoder = PictureDecoder(ItemSpec((8, 8), True), fit=False, completing=False, mask=None)
    before = set(multiprocessing.active_children())
    with PictureReaders(decoder, 1) as readers:
        files = sorted(album.rglob("*.png"))
        assert list(readers.decoded(files).faults) == [DAMAGED]
        (process,) = set(multiprocessing.active_children()) - before
        process.kill()
        process.join(20)
        with pytest.raises(UnusableFile, match="a process that reads pictures died; the same command goes on"):
            readers.decoded(files)


def test_half_of_the_cpus_read_and_never_more_than_eight_processes() -> None:
    assert [readers_beside(cpus) for cpus in (1, 2, 3, 16, 64)] == [0, 1, 1, 8, 8]
