"""Regions of a map: connected places, boxes, areas and peaks, and pictures of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.documents import regions_of
from service.media.heat import colours, heat_sheet, levels_of, sheet_size
from service.media.regions import Peak, Region, regions, scaled
from service.protocol.errors import TooLarge
from service.protocol.messages import Arrays


def found_in(text: str) -> list[Region]:
    """Regions of a map whose places are marked by digits, their rarities; the others are ordinary."""
    rows = [[0 if mark == "." else int(mark) for mark in line] for line in text.split()]
    rarity = np.array(rows, dtype=np.float32)
    return regions(rarity, np.where(rarity > 0, 0.01 / np.maximum(rarity, 1), 1.0), alpha=0.05)


def test_an_ordinary_picture_has_no_region() -> None:
    assert found_in("... ...") == []


def test_boxes_areas_and_peaks_are_those_of_connected_places_the_strangest_first() -> None:
    first, second = found_in("11...  .2...  ....9  ...8.")
    assert (first.box, first.area, first.peak.row, first.peak.column, first.peak.rarity) == ((2, 3, 4, 5), 2, 2, 4, 9)
    assert (second.box, second.area, second.peak.rarity) == ((0, 0, 2, 2), 3, 2)
    assert first.p_value == pytest.approx(0.01 / 9)


def test_a_winding_region_is_one() -> None:
    spiral = "1111111 ......1 11111.1 1...1.1 1.111.1 1.....1 1111111"
    assert [region.area for region in found_in(spiral)] == [sum(mark == "1" for mark in spiral)]


def test_parts_of_random_maps_are_those_that_a_flood_fill_finds() -> None:
    generator = np.random.default_rng(0)
    for share in (0.1, 0.3, 0.5, 0.9):
        flags = generator.random((17, 23)) < share
        rarity = generator.random((17, 23)).astype(np.float32)
        found = regions(rarity, np.where(flags, 0.01, 1.0), alpha=0.05)
        assert sorted(region.area for region in found) == sorted(flood_fill(flags))


def flood_fill(flags: np.ndarray) -> list[int]:
    left, areas = {(int(row), int(column)) for row, column in np.argwhere(flags)}, []
    while left:
        waiting, area = [left.pop()], 0
        while waiting:
            row, column = waiting.pop()
            area += 1
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            waiting += near
        areas.append(area)
    return areas


SIDES = st.integers(8, 1024).flatmap(lambda side: st.tuples(st.just(side), st.integers(side, 20_000)))


@given(SIDES, SIDES, st.data())
def test_a_box_lies_in_the_picture_that_was_sent_and_holds_its_peak(
    rows: tuple[int, int], columns: tuple[int, int], data: st.DataObject
) -> None:
    (height, sent_height), (width, sent_width) = rows, columns
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    whole = Region((top, left, height, width), (height - top) * (width - left), 0.01, Peak(top, left, 2.0))
    found = scaled(whole, (height, width), (sent_height, sent_width))
    assert found.box[2:] == (sent_height, sent_width)
    assert 0 <= found.box[0] <= found.peak.row < sent_height
    assert 0 <= found.box[1] <= found.peak.column < sent_width
    assert 0 < found.area <= sent_height * sent_width


def test_the_scales_of_a_score_take_no_box_beyond_the_picture() -> None:
    rarity, p_values = np.full((1, 1024, 8), 2, np.float32), np.zeros((1, 1024, 8))
    for height in range(8, 1024, 3):
        down = 3000 / height
        arrays: Arrays = {"rarity": rarity[:, :height], "place_p_value": p_values[:, :height]}
        arrays |= {"sides": np.array([[height, 8]]), "scale": np.array([[down, 1.0]])}
        (found,) = regions_of(arrays, 0.05)
        assert found[0].box == (0, 0, 3000, 8)


@pytest.mark.parametrize("shape", [(5, 8, 8), (1, 8, 12, 3), (2, 300, 240, 1)])
def test_a_sheet_shows_every_picture_beside_its_map(shape: tuple[int, ...]) -> None:
    items = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rarity = np.zeros(shape[:3], np.float32)
    calm = heat_sheet(items, rarity, [[]] * shape[0])
    rarity[0, 2:5, 2:5] = 6
    loud = heat_sheet(items, rarity, [[]] * shape[0])
    assert calm.dtype == np.uint8
    assert calm.shape == loud.shape
    assert calm.shape[2] == 3
    assert not np.array_equal(calm, loud)


@pytest.mark.parametrize(("count", "shape"), [(64, (64, 64)), (64, (28, 28)), (4, (1024, 1024)), (64, (223, 223))])
def test_ordinary_sheets_are_not_too_large(count: int, shape: tuple[int, int]) -> None:
    height, width = sheet_size([shape] * count)
    assert height * width < 2**25


def test_narrow_pictures_are_magnified_by_their_longer_side() -> None:
    picture, rarity = np.zeros((256, 8), np.uint8), np.zeros((256, 8), np.float32)
    assert heat_sheet([picture], [rarity], [[]]).shape == (*sheet_size([(256, 8)]), 3)
    assert sheet_size([(256, 8)])[0] < 1100
    assert sheet_size([(8, 256)])[1] < 2100
    assert sheet_size([(8, 8)])[0] > 224


def test_a_sheet_of_many_shapes_is_refused_before_it_is_made() -> None:
    sides = [(256, 8), (8, 256)] * 32
    rarity = [np.zeros(each, np.float32) for each in sides]
    tracemalloc.start()
    with pytest.raises(TooLarge, match=r"of these 64 pictures .* send fewer"):
        heat_sheet([each.astype(np.uint8) for each in rarity], rarity, [[]] * 64)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert sheet_size([(4096, 4096)])[0] > 4096, "a picture alone is always shown"


def test_the_colours_get_lighter_all_the_way() -> None:
    light = colours(np.linspace(0, 1, 50)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()


def test_fractions_become_levels() -> None:
    assert levels_of(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]
