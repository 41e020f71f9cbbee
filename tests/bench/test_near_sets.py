"""The near anomalies that the benchmark of verdicts makes of digits."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from bench import near_sets
from tests.conftest import Digits
from trainer.data import files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that holds nothing but labels, 0 to 9 in turn."""
    labels = bytes(range(10)) * 50
    monkeypatch.setattr(files, "obtain", lambda url, digest, name, data_dir: tmp_path / Path(url).name)
    content = b"\0\0\x08\x01" + len(labels).to_bytes(4, "big") + labels
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    return tmp_path


def test_sets_are_split_up_front_and_look_as_digits_do(
    digits: Digits, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not set(near_sets.TUNED_ON) & set(near_sets.KEPT_APART)
    names = (*near_sets.TUNED_ON, *near_sets.KEPT_APART, near_sets.RENDERED_AGAIN, near_sets.OTHER_WRITERS)
    found = near_sets.near_sets(digits.test, folder, names, count=6)
    lines = capsys.readouterr().err.splitlines()
    assert len(found) + len(lines) == len(names)
    assert near_sets.OTHER_WRITERS not in found
    assert any("emnist" in line and "--data-dir" in line for line in lines)
    for name, pictures in found.items():
        assert pictures.shape[1:] == (28, 28), name
        assert 0 < len(pictures) < 6 if name == "mirrored" else len(pictures) == 6, "some are the same in a mirror"
        assert pictures.dtype == torch.uint8
        assert bool((pictures.flatten(1).sum(dim=1) > 0).all()), name
    again = near_sets.near_sets(digits.test, folder, tuple(found), count=6)
    assert all(torch.equal(again[name], pictures) for name, pictures in found.items())


def test_rendering_a_digit_again_hardly_changes_it(digits: Digits, folder: Path) -> None:
    name = near_sets.RENDERED_AGAIN
    rendered = near_sets.near_sets(digits.test, folder, (name,), count=20)[name]
    away = (rendered.float() - digits.test[:20].float()).abs().mean()
    assert away < 0.3 * digits.test[:20].float().mean()


def test_a_joined_digit_has_the_first_half_of_its_own(digits: Digits, folder: Path) -> None:
    joined = near_sets.near_sets(digits.test, folder, ("halves, left and right",), count=20)["halves, left and right"]
    assert not any(torch.equal(picture, own) for picture, own in zip(joined, digits.test, strict=False))
    for picture, own in zip(joined, digits.test, strict=False):
        shifts = [(down, across) for down in range(-8, 9) for across in range(-8, 9)]
        assert any(torch.equal(picture.roll(shift, (0, 1))[:, :14], own[:, :14]) for shift in shifts)
