"""Cross-conformal p-values of pictures of any size, and of their places."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import flows
from flows import ShapeMismatch
from flows.anomaly import PictureCalibration
from flows.anomaly.pictures import read
from flows.anomaly.places import ZONES, Usual, blurred, widths_for, zones
from flows.anomaly.readings import contrasts, of_flow, of_picture_before_contrasts
from flows.architectures.lattice_flow import LatticeFlow
from flows.tiles import TiledDensity
from tests.flows.pretended_device import DEVICE, PretendedDevice

DATA = Path(__file__).parents[2] / "data"


def densities_of(count: int, seed: int, side: int = 24) -> list[Tensor]:
    """Log-densities as of ordinary pictures of several sizes, whose places are correlated."""
    generator = torch.Generator().manual_seed(seed)
    return [blurred(torch.randn(side + k % 5, side + k % 3, generator=generator), 1.0) * 2 - 1 for k in range(count)]


def tiled() -> list[TiledDensity]:
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        flow = flows.lattice((8, 8), width=4, blocks=1, components=2, joint=True, anywhere=True).eval()
        assert isinstance(flow, LatticeFlow)
        found.append(TiledDensity(flow.requires_grad_(False)))
    return found


def calibrated(count: int = 60, seed: int = 0) -> PictureCalibration:
    return PictureCalibration.of_readings(
        tiled(), [e[None] for e in densities_of(count, seed)], torch.arange(count) % 3
    )


def test_about_a_share_alpha_of_ordinary_pictures_alarms_and_fewer_have_a_region() -> None:
    p_values, least = [], []
    for seed in range(5):
        calibration = calibrated(40, seed)
        for each in densities_of(60, 100 + seed):
            found = calibration.assess_readings(each.expand(3, 1, *each.shape))
            p_values.append(found.verdict.p_value[0])
            least.append(found.place_p_value.min())
    for alpha in (0.1, 0.3):
        assert float((torch.stack(p_values) <= alpha).double().mean()) == pytest.approx(alpha, abs=0.07)
        assert float((torch.stack(least) <= alpha).double().mean()) == pytest.approx(alpha, abs=0.07)


@pytest.mark.parametrize("shift", [-4.0, 4.0])
def test_too_unlikely_and_too_likely_places_are_found_where_they_are(shift: float) -> None:
    calibration = calibrated()
    faulty = densities_of(1, 7, side=30)[0]
    faulty[10:16, 12:18] += shift
    found = calibration.assess_readings(faulty.expand(3, 1, *faulty.shape))
    assert found.verdict.p_value == 1 / 61
    assert found.verdict.tests["places"] == 1 / 61
    row, column = divmod(int(found.rarity.argmax()), faulty.shape[1])
    assert 9 <= row <= 16
    assert 11 <= column <= 18
    assert float(found.place_p_value.min()) == 1 / 61
    assert float(found.place_p_value[25:, :5].min()) > 0.05


def test_a_picture_that_is_off_as_a_whole_is_told_by_its_likelihood() -> None:
    calibration = calibrated()
    off = densities_of(1, 8)[0] + 1.5
    found = calibration.assess_readings(off.expand(3, 1, *off.shape))
    assert found.verdict.tests["likelihood"] == 1 / 61
    assert found.verdict.p_value == 1 / 61


def test_a_faint_fault_that_is_large_is_told_by_areas_and_a_speck_by_its_place() -> None:
    calibration = calibrated()
    sums = torch.zeros(2, 2, dtype=torch.float64)
    for each in densities_of(20, 13, side=30):
        faint, speck = each.clone(), each.clone()
        faint[3:27, 3:27] -= 0.6
        speck[10, 10] -= 16
        for row, picture in enumerate((faint, speck)):
            tests = calibration.assess_readings(picture.expand(3, 1, *each.shape)).verdict.tests
            sums[row] += torch.cat([tests["areas"], tests["places"]])
    assert sums[0, 0] < 0.5 * sums[0, 1]
    assert sums[1, 1] < 0.9 * sums[1, 0]


def test_what_is_not_finite_is_among_the_strangest() -> None:
    calibration = calibrated()
    broken = densities_of(1, 9)[0]
    broken[3, 4] = torch.nan
    found = calibration.assess_readings(broken.expand(3, 1, *broken.shape))
    assert found.verdict.p_value == 1 / 61
    assert bool(found.rarity.isfinite().all())


def test_the_likelihood_is_of_the_mean_of_the_densities_pixel_by_pixel() -> None:
    calibration = calibrated()
    densities = torch.randn(3, 9, 11)
    assert torch.allclose(calibration.log_likelihood(densities), densities.double().exp().mean(dim=0).log().sum())


def test_tensors_make_the_same_calibration_again() -> None:
    calibration = calibrated()
    again = PictureCalibration.from_tensors(calibration.densities, calibration.tensors())
    each = densities_of(1, 10)[0]
    first, second = (one.assess_readings(each.expand(3, 1, *each.shape)) for one in (calibration, again))
    assert torch.equal(first.rarity, second.rarity)
    assert torch.equal(first.place_p_value, second.place_p_value)
    assert torch.equal(first.verdict.p_value, second.verdict.p_value)


def test_readings_on_the_cpu_make_a_calibration_on_the_device_of_the_flows() -> None:
    densities = tiled()
    with PretendedDevice(part for each in densities for part in (*each.flow.parameters(), *each.flow.buffers())):
        assert densities[0].flow.device == DEVICE
        generator = torch.Generator().manual_seed(0)
        pictures = [torch.randint(0, 256, (16, 20), generator=generator, dtype=torch.uint8) for _ in range(30)]
        folds = torch.arange(30) % 3
        found = [read(densities[fold], picture) for fold, picture in zip(folds.tolist(), pictures, strict=True)]
        assert {each.device for each in found} == {DEVICE}
        calibration = PictureCalibration.of_readings(densities, [each.cpu() for each in found], folds)
        assert {judge.usual.mean.device for judge in calibration.judges} == {DEVICE}
        assert calibration.assess(pictures[0]).rarity.device == DEVICE


def test_damaged_tensors_are_refused() -> None:
    calibration = calibrated()
    for name, damaged in {
        "held_out": torch.zeros(10, 4),
        "maxima": torch.zeros(5),
        "judged": torch.full((60,), 9),
        "judge.0.texture.tails": torch.zeros(2, 128),
        "judge.1.texture.tails": torch.zeros(1, 128),
        "judge.2.texture.factor": torch.zeros(3, 3),
        "judge.5.texture.log_weights": torch.zeros(3),
        "judge.0.mean": torch.zeros(2, 24, 24),
        "judge.0.rarest": torch.zeros(1),
        "judge.2.size": torch.ones(3),
        "judge.3.centre": torch.zeros(2, 3),
        "judge.4.centre": calibration.judges[4].centre[:, :2],
        "judge.1.tail": torch.zeros(128),
    }.items():
        with pytest.raises((ValueError, KeyError)):
            PictureCalibration.from_tensors(calibration.densities, calibration.tensors() | {name: damaged})


def test_a_whole_picture_gets_a_verdict_from_its_pixels() -> None:
    densities, generator = tiled(), torch.Generator().manual_seed(0)
    pictures = [torch.randint(90, 160, (16 + k % 4, 20), generator=generator, dtype=torch.uint8) for k in range(30)]
    calibration = PictureCalibration.of(densities, pictures, torch.arange(30) % 3)
    faulty = pictures[0].clone()
    faulty[4:12, 4:12] = 0
    found = calibration.assess(faulty)
    assert found.rarity.shape == faulty.shape
    assert found.verdict.p_value == 1 / 31


def test_groups_of_ordinary_pictures_are_ordinary() -> None:
    calibration = calibrated()
    scores = [calibration.assess_readings(e.expand(3, 1, *e.shape)).verdict.scores for e in densities_of(20, 11)]
    assert calibration.judge_group(torch.cat(scores)).p_value > 0.001
    shifted = [calibration.assess_readings((e + 1).expand(3, 1, *e.shape)).verdict.scores for e in densities_of(20, 12)]
    assert calibration.judge_group(torch.cat(shifted)).p_value < 0.001


def test_aligned_pictures_have_a_mean_for_each_place_and_one_size() -> None:
    generator = torch.Generator().manual_seed(1)
    pattern = 3 * torch.randn(20, 20, generator=generator)
    pictures = [pattern + torch.randn(20, 20, generator=generator) for _ in range(12)]
    aligned, anywhere = (Usual.of(pictures[:6], widths_for(20), aligned=chosen) for chosen in (True, False))
    spread = [float((pictures[7] - usual.mean_at(20, 20)).std()) for usual in (aligned, anywhere)]
    assert spread[0] < 1.2 < 1.5 < spread[1]
    with pytest.raises(ShapeMismatch, match="20x20, not 24x20"):
        aligned.scores(torch.zeros(20, 24))
    assert (aligned.size, anywhere.size) == ((20, 20), None)


def test_kinds_of_places_repeat_in_blocks_between_two_borders() -> None:
    assert zones(20).tolist() == [*range(8), 8, 9, 10, 11, 20, 21, 22, 23, 16, 17, 18, 19]
    assert zones(32)[8:24].tolist() == [*range(8, 16), *range(8, 16)]
    assert int(zones(11).max()) < ZONES


def test_windows_average_and_sum_to_one_at_borders() -> None:
    flat = torch.full((12, 15), 2.5)
    assert torch.allclose(blurred(flat, 3.0), flat)
    assert float(blurred(torch.eye(15), 2.0).std()) < float(torch.eye(15).std())
    assert widths_for(1024)[-1] <= 24
    assert len(widths_for(8)) == 1


@pytest.mark.parametrize("step", [1, 2])
def test_damped_averages_of_independent_values_vary_alike_at_borders_and_corners(step: int) -> None:
    noise = torch.randn(4000, 18, 21, generator=torch.Generator().manual_seed(0))
    plain, damped = (blurred(noise, 2.8, step, damped=each).std(dim=0) for each in (False, True))
    assert float(plain[0, 0] / plain[4, 4]) > 1.6
    assert 0.85 < float((damped / damped[4, 4]).min()) <= float((damped / damped[4, 4]).max()) < 1.2


def test_a_large_picture_is_averaged_in_parts_and_wide_windows_at_fewer_places() -> None:
    values = torch.randn(300, 150, generator=torch.Generator().manual_seed(0))
    away = torch.arange(300.0)[:, None] - torch.arange(300.0)
    window = (-0.5 * (away / 2).square()).exp() * (away.abs() <= 6)
    window /= window.sum(dim=1, keepdim=True)
    small = window[:150, :150] / window[:150, :150].sum(dim=1, keepdim=True)
    assert torch.allclose(blurred(values, 2.0), window @ values @ small.T, atol=1e-5)
    ramp = torch.arange(64.0).expand(64, -1)
    assert torch.allclose(blurred(ramp, 5.6, 4)[5, 4:12], torch.arange(4, 12) * 4 + 1.5, atol=1e-4)
    assert blurred(torch.ones(9, 14), 5.6, 4).shape == (3, 4)


def test_models_of_before_there_were_several_readings_judge_as_they_did() -> None:
    stored = load_file(DATA / "picture-calibration-before-readings.safetensors")
    cases = ("faulty", "calm")
    tensors = {name: each for name, each in stored.items() if not name.startswith(cases)}
    old = PictureCalibration.from_tensors(tiled(), tensors)
    assert all(isinstance(judge.usual, Usual) for judge in old.judges)
    assert old.tensors().keys() == tensors.keys()
    faulty, calm = densities_of(1, 7, side=30)[0], densities_of(1, 8, side=30)[0]
    faulty[10:16, 12:18] -= 4
    for case, picture in zip(cases, (faulty, calm), strict=True):
        # A judge of the earlier form takes the log-density alone, whatever the other readings are.
        readings = torch.stack([picture, torch.rand_like(picture)])
        found = old.assess_readings(readings.expand(3, *readings.shape))
        each = torch.stack([judge.usual.rarity(judge.places(readings)) for judge in old.judges])
        assert torch.allclose(each.mean(dim=0), stored[f"{case}.rarity"], atol=1e-3)
        assert torch.equal(found.place_p_value, stored[f"{case}.place_p_value"])
        assert torch.equal(found.verdict.p_value, stored[f"{case}.p_value"])
        assert torch.allclose(found.verdict.scores, stored[f"{case}.scores"], atol=1e-3)


def test_no_place_is_rare_that_one_judge_finds_usual() -> None:
    made = calibrated()
    found = [torch.randn(len(made.judges[0].usual.mean), 20, 24, generator=torch.Generator().manual_seed(5))] * 3
    each = torch.stack([judge.usual.rarity(judge.places(found[0])) for judge in made.judges])
    rarity = made.assess_readings(found).rarity
    assert torch.allclose(rarity, -(10**-each).mean(dim=0).log10(), atol=1e-4)
    assert bool((rarity <= each.min(dim=0).values + math.log10(len(each)) + 1e-4).all())


def test_a_template_is_stored_for_a_flow_that_takes_one_and_for_no_other() -> None:
    plain, generator = calibrated(), torch.Generator().manual_seed(4)
    flow = flows.lattice((8, 8, 3), width=4, blocks=1, components=2, joint=True, anywhere=True, template=True)
    assert isinstance(flow, LatticeFlow)
    usual = torch.randint(0, 256, (16, 20, 3), generator=generator, dtype=torch.uint8)
    made = PictureCalibration.of_readings(
        [TiledDensity(flow.eval().requires_grad_(False), template=usual)] * 3,
        [torch.randn(6, 16, 20, generator=generator) for _ in range(30)],
        torch.arange(30) % 3,
        aligned=True,
    )
    again = PictureCalibration.from_tensors([TiledDensity(flow) for _ in range(3)], made.tensors())
    assert all(each.template is not None and torch.equal(each.template, usual) for each in again.densities)
    without = {name: each for name, each in made.tensors().items() if not name.startswith("template")}
    wrong: list[tuple[PictureCalibration, dict[str, Tensor]]] = [
        (made, without),
        (made, made.tensors() | {"template.1": usual.float()}),
        (made, made.tensors() | {"template.2": usual[:, :, 0]}),
        (plain, plain.tensors() | {"template.0": usual[:, :, 0]}),
    ]
    for calibration, tensors in wrong:
        with pytest.raises(ValueError, match="template"):
            PictureCalibration.from_tensors(calibration.densities, tensors)
    assert (again.aligned_size, plain.aligned_size) == ((16, 20), None)
    with pytest.raises(ShapeMismatch, match="aligned and 20x16, not 24x16"):
        again.assess(torch.zeros(16, 24, 3, dtype=torch.uint8))


def test_readings_are_the_density_surprise_contrasts_and_colours() -> None:
    density = tiled()[0]
    picture = torch.randint(0, 256, (16, 20), dtype=torch.uint8)
    point = density.to_continuous(picture)
    log_densities, surprise = density.pixel_statistics(point)
    assert torch.equal(log_densities, density.pixel_log_densities(point))
    assert float(surprise.min()) >= -1e-6
    found = read(density, picture)
    assert found.shape == (9, 16, 20)
    assert torch.equal(found[0], log_densities)
    assert torch.equal(found[-1], point)


def test_contrasts_tell_directions_and_scales_apart() -> None:
    upright, level = torch.zeros(2, 12, 16).unbind(0)
    upright[:, 8:] = 1.0
    level[6:] = 1.0
    across, down, around, wide_across, wide_down, _ = contrasts(upright)
    assert across[5].argmax() in (7, 8)
    assert float(down.std()) < 1e-3
    assert int((around[5] > around.min()).sum()) == 2
    assert int((wide_across[5] > -4).sum()) > int((across[5] > -4).sum())
    assert float(wide_down.std()) < 1e-3
    assert float(contrasts(level)[0].std()) < 1e-3
    assert contrasts(level)[1][:, 3].argmax() in (5, 6)
    assert contrasts(torch.zeros(9, 9)).isfinite().all()


def test_models_of_before_there_were_contrasts_take_a_gradient() -> None:
    x = torch.zeros(9, 10, 3)
    x[4:, :, 0] = 1.0
    found = of_picture_before_contrasts(x)
    assert found.shape == (4, 9, 10)
    assert torch.equal(found[1], x[:, :, 0])
    assert int(found[0, :, 3].argmax()) == 3
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.randint(0, 256, (16, 20), generator=generator, dtype=torch.uint8) for _ in range(30)]
    densities, folds = tiled(), torch.arange(30) % 3
    before = []
    for picture, fold in zip(pictures, folds.tolist(), strict=True):
        point = densities[fold].to_continuous(picture)
        before.append(
            torch.cat([of_flow(*densities[fold].pixel_statistics(point)), of_picture_before_contrasts(point)])
        )
    old = PictureCalibration.of_readings(densities, before, folds)
    again = PictureCalibration.from_tensors(tiled(), old.tensors())
    assert [each.shape for each in again.readings(pictures[0])] == [(4, 16, 20)] * 3
    assert again.assess(pictures[0]).rarity.shape == (16, 20)
