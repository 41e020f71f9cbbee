"""SVHN and the Toronto Face Database, from Matlab files as published."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from trainer.data import SVHN, TFD, Svhn
from trainer.errors import DataError

RANDOM = np.random.default_rng(0)


def _checksum(path: Path) -> str:
    return f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"


def _svhn(folder: Path, train: np.ndarray, test: np.ndarray) -> Svhn:
    paths = [folder / "train_32x32.mat", folder / "test_32x32.mat"]
    for path, images in zip(paths, (train, test), strict=True):
        savemat(path, {"X": images, "y": np.ones((images.shape[-1], 1), np.uint8)}, do_compression=True)
    return replace(SVHN, train_checksum=_checksum(paths[0]), test_checksum=_checksum(paths[1]))


def test_svhns_last_axis_counts_the_images(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 256, (7, 32, 32, 3), np.uint8)
    train, test = _svhn(tmp_path, images[:5].transpose(1, 2, 3, 0), images[5:].transpose(1, 2, 3, 0)).read(tmp_path)
    assert train.equal(torch.from_numpy(images[:5]))
    assert test.equal(torch.from_numpy(images[5:]))


def test_svhn_of_another_shape_or_kind_is_refused(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 256, (32, 32, 3, 4), np.uint8)
    for wrong in (images.astype(np.float64), images[:, :, :2], images.transpose(3, 0, 1, 2)):
        with pytest.raises(DataError, match=r"train_32x32\.mat: X is .* not uint8 of \(32, 32, 3, N\)"):
            _svhn(tmp_path, wrong, images).read(tmp_path)


def test_svhn_with_another_hash_is_refused(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 256, (32, 32, 3, 4), np.uint8)
    _svhn(tmp_path, images, images)
    with pytest.raises(DataError, match=r"train_32x32\.mat: md5 is"):
        SVHN.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_a_file_that_is_not_matlabs_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "TFD_48x48.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"TFD_48x48\.mat: "):
        TFD.read(tmp_path)


@pytest.mark.parametrize("below", ["", "tfd"])
def test_faces_of_the_first_folds_test_set_are_tested_on_and_all_others_trained_on(tmp_path: Path, below: str) -> None:
    faces = RANDOM.integers(0, 256, (6, 48, 48), np.uint8)
    folds = np.array([[0, 0], [1, 3], [3, 1], [2, 3], [3, 2], [0, 0]], np.uint8)
    (tmp_path / below).mkdir(exist_ok=True)
    savemat(tmp_path / below / "TFD_48x48.mat", {"images": faces, "folds": folds, "labs_ex": np.zeros((6, 1))})
    train, test = TFD.read(tmp_path)
    assert train.equal(torch.from_numpy(faces[[0, 1, 3, 5]]))
    assert test.equal(torch.from_numpy(faces[[2, 4]]))


def test_faces_without_a_folder_say_where_they_come_from() -> None:
    with pytest.raises(DataError, match=r"TFD_48x48\.mat: missing, and given out by its makers only; .*--data-dir"):
        TFD.read(None)


def test_faces_of_another_shape_or_without_folds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "TFD_48x48.mat"
    savemat(path, {"images": np.zeros((6, 48, 48), np.uint8)})
    with pytest.raises(DataError, match=r"TFD_48x48\.mat: holds no variable folds"):
        TFD.read(tmp_path)
    savemat(path, {"images": np.zeros((6, 96, 96), np.uint8), "folds": np.zeros((6, 5), np.uint8)})
    with pytest.raises(DataError, match=r"are not \(N, 48, 48\)"):
        TFD.read(tmp_path)
