"""The files of image sets come from the user's folder or a download, and are checked either way."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.conftest import idx_gz, image_set, write_images
from trainer.errors import DataError

TRAIN, TEST = idx_gz(np.zeros((5, 4, 3))), idx_gz(np.ones((2, 4, 3)))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A URL that serves tmp_path / "web", with the user's cache moved below tmp_path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "web").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "web")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


@pytest.mark.parametrize("below", ["", "digits"])
def test_files_are_found_in_the_folder_or_in_the_sets_own_below_it(tmp_path: Path, below: str) -> None:
    write_images(tmp_path / below, TRAIN, TEST)
    train, test = image_set(TRAIN, TEST).read(tmp_path)
    assert train.shape == (5, 4, 3)
    assert test.shape == (2, 4, 3)
    assert test.min() == 1


def test_a_missing_file_is_named_with_the_places_looked_in(tmp_path: Path) -> None:
    write_images(tmp_path, TRAIN, TEST)
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: missing; looked in .*digits and "):
        image_set(TRAIN, TEST).read(tmp_path)


def test_a_file_with_another_md5_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, TRAIN[:-1] + b"\x07", TEST)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: md5 is [0-9a-f]{32}, not [0-9a-f]{32}"):
        image_set(TRAIN, TEST).read(tmp_path)


def test_a_file_with_the_right_md5_that_holds_no_images_is_refused(tmp_path: Path) -> None:
    labels = idx_gz(np.zeros(5))
    write_images(tmp_path, labels, TEST)
    with pytest.raises(DataError, match="not images"):
        image_set(labels, TEST).read(tmp_path)


def test_without_a_folder_files_are_downloaded_once(tmp_path: Path, server: str) -> None:
    write_images(tmp_path / "web", TRAIN, TEST)
    dataset = image_set(TRAIN, TEST, server)
    first, _ = dataset.read(None)
    for file in (tmp_path / "web").iterdir():
        file.unlink()
    again, _ = dataset.read(None)
    assert first.equal(again)


def test_a_download_with_another_md5_is_refused(tmp_path: Path, server: str) -> None:
    write_images(tmp_path / "web", b"something else", TEST)
    with pytest.raises(DataError, match="train-images"):
        image_set(TRAIN, TEST, server).read(None)


@pytest.mark.usefixtures("server")
def test_a_host_that_does_not_answer_is_a_data_error_that_names_the_url() -> None:
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/train-images"):
        image_set(TRAIN, TEST).read(None)
