"""The file or the stream that scores go to: written as a whole, where it was asked for, or an error that names it."""

from __future__ import annotations

import csv
import io
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from service.cli import main
from service.media.documents import ItemScore
from service.offline.outputs import FORMATS, Row, writer_to
from service.offline.sources import Place
from service.offline.unusable import UnusableFile

Score = Callable[..., Result]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is always full")
MODEL: Any = SimpleNamespace(tests=(), table=None)


@pytest.fixture
def score(calibrated_store: Path, tmp_path: Path) -> Score:
    """The command over five rows of a table; arguments are options."""
    np.savetxt(tmp_path / "rows.csv", np.random.default_rng(0).normal(size=(5, 2)), delimiter=",")
    options = ["score", str(tmp_path / "rows.csv"), "--model", "points", "--store", str(calibrated_store)]
    return lambda *arguments: CliRunner().invoke(main, [*options, "--device", "cpu", *map(str, arguments)])


def device(folder: Path, name: str, minor: int) -> Path:
    """A device of memory: that of the system, but for root, which could replace it by a file, a copy in the folder."""
    if os.geteuid():
        return Path("/dev", name)
    try:
        os.mknod(folder / name, 0o600 | stat.S_IFCHR, os.makedev(1, minor))
        (folder / name).open("wb").close()
    except OSError:
        pytest.skip("root cannot use devices in this folder")
    return folder / name


def rows(name: str, count: int) -> list[Row]:
    return [Row(Place(name, item), ItemScore(1.0, None)) for item in range(count)]


def files_in(text: str) -> list[str]:
    return [row["file"] for row in csv.DictReader(io.StringIO(text))]


def test_of_two_runs_into_one_file_the_last_to_end_is_there_as_a_whole(tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    first, second = (writer_to(output, io.BytesIO(), "csv", MODEL) for _ in range(2))
    writer = first.__enter__()
    writer.write(rows("first", 300))
    other = second.__enter__()
    other.write(rows("second", 200))
    writer.write(rows("first", 100))
    first.__exit__(None, None, None)
    assert files_in(output.read_text()) == ["first"] * 400
    other.write(rows("second", 10))
    second.__exit__(None, None, None)
    assert files_in(output.read_text()) == ["second"] * 210
    assert os.listdir(tmp_path) == ["scores.csv"]


def test_a_new_file_has_the_permissions_of_the_umask_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for name in ("new.csv", "old.csv"):
            if name == "old.csv":
                (tmp_path / name).touch()
                (tmp_path / name).chmod(0o604)
            with writer_to(tmp_path / name, io.BytesIO(), "csv", MODEL) as writer:
                writer.write(rows("a", 1))
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new.csv", "old.csv")] == [0o640, 0o604]


def test_a_link_stays_and_what_it_leads_to_is_replaced(score: Score, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/scores.csv").write_text("of yesterday")
    for name, target in (("link.csv", "far/scores.csv"), ("dangling.csv", "far/new.csv")):
        (tmp_path / name).symlink_to(target)
        assert score("-o", tmp_path / name).exit_code == 0
        assert (tmp_path / name).is_symlink()
        assert len(files_in((tmp_path / target).read_text())) == 5
    assert sorted(os.listdir(tmp_path / "far")) == ["new.csv", "scores.csv"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_pipe_gets_what_a_file_gets(score: Score, tmp_path: Path, form: str) -> None:
    assert score("-o", tmp_path / "file", "--format", form).exit_code == 0
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    result = score("-o", tmp_path / "pipe", "--format", form)
    assert result.exit_code == 0, result.output
    reader.join(10)
    assert found == [(tmp_path / "file").read_bytes()]
    assert (tmp_path / "pipe").is_fifo()


@LINUX
def test_the_standard_output_by_its_path_is_written_where_it_leads(calibrated_store: Path, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "rows.csv", np.zeros((3, 2)), delimiter=",")
    with (tmp_path / "scores.csv").open("w") as stream:
        stream.write("before\n")
        stream.flush()
        end = process(calibrated_store, tmp_path / "rows.csv", "-o", "/proc/self/fd/1", stdout=stream)
    assert end.returncode == 0, end.stderr
    before, *lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert before == "before"
    assert len(lines) == 4


def process(store: Path, *arguments: object, stdout: Any) -> subprocess.CompletedProcess[str]:
    options = ("--model", "points", "--store", store, "--device", "cpu")
    command = [sys.executable, "-m", "service", "score", *map(str, (*arguments, *options))]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


@LINUX
def test_a_full_standard_output_is_told_in_one_line(calibrated_store: Path, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "rows.csv", np.zeros((3, 2)), delimiter=",")
    with Path("/dev/full").open("w") as full:
        end = process(calibrated_store, tmp_path / "rows.csv", stdout=full)
    assert end.stderr.splitlines()[-1] == "Error: the standard output: cannot be written: No space left on device"
    assert "Traceback" not in end.stderr
    assert "Exception ignored" not in end.stderr
    assert end.returncode == 1


@LINUX
@pytest.mark.parametrize("form", FORMATS)
def test_a_device_gets_what_is_written_and_one_that_is_full_is_named(score: Score, tmp_path: Path, form: str) -> None:
    null, full = device(tmp_path, "null", 3), device(tmp_path, "full", 7)
    assert score("-o", null, "--format", form).exit_code == 0
    result = score("-o", full, "--format", form)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {full}: cannot be written: No space left on device\n"
    assert null.is_char_device()
    assert full.is_char_device()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [20, 20_000])
def test_a_file_that_may_not_grow_is_named_and_leaves_what_was_there(tmp_path: Path, form: str, count: int) -> None:
    output = tmp_path / "scores"
    output.write_text("of yesterday")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with (
            pytest.raises(UnusableFile, match=r"scores: cannot be written: File too large"),
            writer_to(output, io.BytesIO(), form, MODEL) as writer,
        ):
            writer.write(rows("a", count))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert output.read_text() == "of yesterday"
    assert os.listdir(tmp_path) == ["scores"]


class _Closed(io.BytesIO):
    """A pipe whose reader is gone."""

    def write(self, _: Any) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("form", FORMATS)
def test_errors_of_reading_and_a_pipe_without_reader_keep_their_kind(tmp_path: Path, form: str) -> None:
    with pytest.raises(PermissionError), writer_to(tmp_path / "scores", io.BytesIO(), form, MODEL):
        raise PermissionError(13, "Permission denied", "rows.csv")
    assert not os.listdir(tmp_path)
    with pytest.raises(BrokenPipeError), writer_to(None, _Closed(), form, MODEL) as writer:
        writer.write(rows("a", 1))


def test_parquet_by_its_ending_is_whole(score: Score, tmp_path: Path) -> None:
    assert score("-o", tmp_path / "scores.parquet").exit_code == 0
    assert parquet.read_table(tmp_path / "scores.parquet").num_rows == 5
