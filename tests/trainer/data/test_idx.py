"""Reading idx: arrays are read exactly, and other files are refused by name."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainer.data import idx
from trainer.errors import DataError


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_any_array_of_bytes_comes_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    path.write_bytes(gzip.compress(_idx(array), mtime=0))
    assert torch.equal(idx.read(path), torch.from_numpy(array))


@given(st.binary(max_size=64).filter(lambda content: not content.startswith(b"\0\0\x08")))
def test_other_bytes_are_an_error_that_names_the_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("idx") / "noise.gz"
    path.write_bytes(gzip.compress(content, mtime=0))
    with pytest.raises(DataError, match=r"noise\.gz"):
        idx.read(path)


ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = gzip.compress(_idx(ARRAY), mtime=0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (WHOLE[:-9], "cannot be unpacked"),
        (b"<html>not here</html>", "cannot be unpacked"),
        (WHOLE[:12] + b"\xff\xff\xff\xff" + WHOLE[16:], "cannot be unpacked"),
        (b"", "not an idx file"),
        (gzip.compress(b"\x89PNG\r\n", mtime=0), "not an idx file"),
        (gzip.compress(b"\0\0\x0d\x01" + bytes(8), mtime=0), "not an idx file of unsigned bytes"),
        (gzip.compress(_idx(ARRAY)[:9], mtime=0), "truncated inside its header"),
        (gzip.compress(_idx(ARRAY)[:-1], mtime=0), "holds 23 bytes"),
        (gzip.compress(_idx(ARRAY) + b"\0", mtime=0), "holds 25 bytes"),
    ],
)
def test_damage_is_named_with_the_file(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        idx.read(path)
    assert "images.gz" in str(caught.value)
