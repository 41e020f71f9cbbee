"""Hidden parts of pictures that are made smaller."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pictures import BadPicture, Preparation
from pictures.hidden import filled, shrunk


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_a_smaller_place_is_hidden_where_any_of_it_was(height: int, width: int, data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    places = np.random.default_rng(height * width).random((height, width)) < 0.03
    expected = np.zeros((rows, columns), dtype=bool)
    for row, column in zip(*np.nonzero(places), strict=True):
        expected[
            row * rows // height : -(-(row + 1) * rows // height),
            column * columns // width : -(-(column + 1) * columns // width),
        ] = True
    np.testing.assert_array_equal(shrunk(places, rows, columns), expected)


@pytest.mark.parametrize("colours", [1, 3])
@given(st.integers(0, 1000))
def test_what_is_hidden_changes_nothing_that_is_known(colours: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(40, 200, 2)
    hidden = np.zeros((height, width), dtype=bool)
    top, left = generator.integers(0, height), generator.integers(0, width)
    hidden[top : top + generator.integers(1, 90), left : left + generator.integers(1, 90)] = True
    item = generator.integers(0, 256, (height, width, 3) if colours == 3 else (height, width), dtype=np.uint8)
    other = item.copy()
    other[hidden] = 255 - other[hidden]
    prepare = Preparation(max(16, int(max(height, width) / generator.uniform(1, 4))), colours)
    found, same = (prepare(Image.fromarray(each), hidden=hidden) for each in (item, other))
    if found.shape[:2] != hidden.shape:
        np.testing.assert_array_equal(found, same)


def test_hidden_places_look_like_what_is_around_them() -> None:
    item = np.full((120, 160), 70, dtype=np.uint8)
    item[:, 80:] = 190
    hidden = np.zeros(item.shape, dtype=bool)
    hidden[30:70, 20:40] = hidden[50:90, 110:150] = True
    cover = np.where(hidden, 0, item).astype(np.uint8)
    assert np.abs(np.asarray(filled(Image.fromarray(cover), hidden)).astype(int) - item)[hidden].max() <= 1
    np.testing.assert_array_equal(np.asarray(filled(Image.fromarray(cover), hidden))[~hidden], item[~hidden])
    assert np.asarray(filled(Image.fromarray(cover), np.ones_like(hidden))).shape == item.shape


def test_a_hidden_glare_does_not_make_a_picture_too_deep() -> None:
    values = np.full((32, 32), 1000, dtype=np.uint16)
    values[:8] = 65535
    with pytest.raises(BadPicture, match="levels above 1023"):
        Preparation(32, 1, 10)(Image.fromarray(values))
    hidden = np.zeros((32, 32), dtype=bool)
    hidden[:8] = True
    assert (Preparation(32, 1, 10)(Image.fromarray(values), hidden=hidden)[8:] == 250).all()
