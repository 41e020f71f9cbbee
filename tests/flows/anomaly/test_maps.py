"""Maps: ordinary pictures rarely show a region, faults do, and a place's answer is its picture's alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import flows
from flows import anomaly
from flows.anomaly import RECIPES, MapCalibration, Recipe

PLAIN = Recipe(aligned=False, absolute=False, relative=False)
BOTH_SIDES = Recipe(aligned=False, absolute=True, relative=False)
ALIGNED = Recipe(aligned=True, absolute=False, relative=False)
RELATIVE = Recipe(aligned=False, absolute=False, relative=True)


def pictures(count: int, seed: int) -> Tensor:
    """Pixels (count, 2, 14, 14) of pictures whose log-densities have other means at other places."""
    generator = torch.Generator().manual_seed(seed)
    usual = torch.arange(14.0) % 3
    return usual + torch.randn(count, 2, 14, 14, generator=generator)


FIT, HELD_OUT = pictures(500, 0), pictures(400, 1)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_of_ordinary_pictures_about_a_share_alpha_has_a_place_at_alpha(recipe: Recipe, alpha: float) -> None:
    found = MapCalibration.of(recipe, FIT, HELD_OUT).judge(pictures(2000, 2))
    share = float((found.p_value.flatten(1).amin(dim=1) <= alpha).double().mean())
    # Three standard deviations of both the 2000 pictures and the 400 behind the p-values.
    assert abs(share - alpha) < 3 * (alpha * (1 - alpha) * (1 / 2000 + 1 / 400)) ** 0.5


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_rarity_of_ordinary_places_is_the_share_that_it_says(recipe: Recipe) -> None:
    rarity = MapCalibration.of(recipe, FIT, HELD_OUT).judge(pictures(1000, 3)).rarity
    for level in (1.0, 2.0, 3.0):
        assert float((rarity >= level).double().mean()) == pytest.approx(10**-level, rel=0.4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_fault_stands_out_at_its_place(recipe: Recipe) -> None:
    faulty = pictures(20, 4)
    faulty[:, 0, 4:7, 8:11] -= 8
    found = MapCalibration.of(recipe, FIT, HELD_OUT).judge(faulty)
    peaks = found.rarity.flatten(1).argmax(dim=1)
    rows, columns = peaks // 14, peaks % 14
    assert bool(((rows >= 4) & (rows < 7) & (columns >= 8) & (columns < 11)).all())
    assert float(found.p_value.flatten(1).amin(dim=1).max()) == 1 / 401


def test_only_the_absolute_map_finds_what_is_too_likely() -> None:
    smooth = pictures(20, 5)
    smooth[:, 0, 4:9, 8:13] = 4
    highest = {
        recipe: MapCalibration.of(recipe, FIT, HELD_OUT).judge(smooth).p_value[:, 5:8, 9:12].amin()
        for recipe in (PLAIN, BOTH_SIDES)
    }
    assert highest[BOTH_SIDES] < 0.01 < highest[PLAIN]


def test_an_aligned_map_knows_what_is_usual_at_a_place() -> None:
    moved = pictures(20, 6)
    moved[:, 0, 4:8, 8] -= 6  # usual there is 2, and elsewhere 0
    found = {recipe: MapCalibration.of(recipe, FIT, HELD_OUT).judge(moved) for recipe in (ALIGNED, PLAIN)}
    at_the_place = {recipe: float(each.rarity[:, 4:8, 8].mean()) for recipe, each in found.items()}
    assert at_the_place[ALIGNED] > at_the_place[PLAIN]


def test_a_relative_map_lets_what_is_hard_to_code_be_unlikely() -> None:
    rich = pictures(20, 7)
    rich[:, 0, 4:7, 8:11] -= 6
    rich[:, 1, 4:7, 8:11] += 12
    found = {recipe: MapCalibration.of(recipe, FIT, HELD_OUT).judge(rich).rarity for recipe in (RELATIVE, PLAIN)}
    assert float(found[RELATIVE][:, 5, 9].mean()) < 2 < 4 < float(found[PLAIN][:, 5, 9].mean())


def test_tensors_make_the_same_calibration_again_and_a_pictures_map_is_its_own_to_the_bit() -> None:
    calibration = MapCalibration.of(ALIGNED, FIT, HELD_OUT)
    again = MapCalibration.from_tensors((14, 14), ALIGNED, calibration.tensors())
    together, alone = calibration.judge(pictures(33, 8)), again.judge(pictures(33, 8)[7:8])
    assert torch.equal(together.rarity[7:8], alone.rarity)
    assert torch.equal(together.p_value[7:8], alone.p_value)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_place_that_is_not_finite_is_among_the_strangest(value: float) -> None:
    broken = pictures(1, 9)
    broken[0, 0, 3, 3] = value
    found = MapCalibration.of(PLAIN, FIT, HELD_OUT).judge(broken)
    assert bool(found.rarity.isfinite().all())
    assert float(found.p_value[0, 3, 3]) == 1 / 401


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"mean": torch.zeros(3, 3)}, "mean"),
        ({"tail": torch.zeros(128)}, "tail of a map must rise"),
        ({"tails": torch.zeros(1, 5)}, "tails"),
        ({"maxima": torch.zeros(3)}, "highest scores"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(fault: dict[str, Tensor], message: str) -> None:
    tensors = MapCalibration.of(ALIGNED, FIT, HELD_OUT).tensors()
    with pytest.raises(ValueError, match=message):
        MapCalibration.from_tensors((14, 14), ALIGNED, {**tensors, **fault})


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20 pictures"):
        MapCalibration.of(PLAIN, FIT[:10], HELD_OUT)


@pytest.mark.parametrize("architecture", ["lattice", "nice"])
def test_pixels_sum_to_the_log_likelihood(architecture: str) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "lattice": {"width": 4, "blocks": 1, "components": 2},
        "nice": {"hidden": [4], "couplings": 2},
    }
    flow = flows.build(architecture, (8, 8), arguments[architecture])
    x = flow.to_continuous(torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8))
    with torch.no_grad():
        pixels = anomaly.pixel_nats(flow, x)
        torch.testing.assert_close(pixels[:, 0].sum(dim=(1, 2)).float(), flow.log_prob(x), rtol=1e-4, atol=1e-2)
        statistics, same = anomaly.statistics_and_pixels(flow, x)
    assert torch.equal(pixels, same)
    assert torch.equal(statistics, anomaly.statistics(flow, x))
