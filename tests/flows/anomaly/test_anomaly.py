"""Verdicts keep their promise: ordinary items rarely alarm, strange ones do, and nothing turns into NaN."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

import flows
from flows import Flow, anomaly, bits_per_dim
from flows.anomaly.complexity import code_bits, code_length
from flows.anomaly.density import KernelDensity
from tests.conftest import Digits

LIKELIHOOD = anomaly.Test("likelihood", ("log_likelihood",))
PAIR = anomaly.Test("pair", ("log_likelihood", "code_bits"))


def table(rows: int, columns: int, seed: int) -> Tensor:
    """Correlated and skewed, as statistics are."""
    draws = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    draws[:, 0] += 0.8 * draws[:, -1]
    return draws.exp()


def judge_group(calibration: anomaly.Calibration, statistics: Tensor) -> anomaly.GroupVerdict:
    return calibration.judge_group(calibration.judge(statistics).scores)


@pytest.fixture(scope="module")
def calibration() -> anomaly.Calibration:
    return anomaly.Calibration.of((LIKELIHOOD, PAIR), table(500, 3, 1), table(2000, 3, 2))


def test_p_values_of_ordinary_items_are_uniform(calibration: anomaly.Calibration) -> None:
    verdict = calibration.judge(table(2000, 3, 3))
    for p_values in (verdict.p_value, *verdict.tests.values()):
        assert kolmogorov_smirnov(p_values) < 1.95 * math.sqrt(2 / 2000), "two samples of 2,000: p < 0.001"


def test_strange_items_are_found_by_the_combined_verdict(calibration: anomaly.Calibration) -> None:
    far = table(200, 3, 4) + torch.tensor([0.0, 30.0, 0.0], dtype=torch.float64)
    unusual_together = table(200, 3, 5)[:, [0, 2, 1]] * torch.tensor([1.0, 0.02, 30.0], dtype=torch.float64)
    for strange in (far, unusual_together):
        assert (calibration.judge(strange).p_value < 0.05).double().mean() > 0.8


def test_p_values_stay_within_their_resolution(calibration: anomaly.Calibration) -> None:
    verdict = calibration.judge(table(500, 3, 6) * 1e6)
    assert verdict.p_value.min() == pytest.approx(1 / 2001)
    assert verdict.p_value.max() <= 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308])
def test_a_statistic_that_is_not_finite_is_the_strangest_of_all(calibration: anomaly.Calibration, bad: float) -> None:
    rows = table(3, 3, 7)
    rows[1] = bad
    verdict = calibration.judge(rows)
    assert verdict.p_value[1].item() == pytest.approx(1 / 2001)
    assert torch.equal(verdict.p_value[[0, 2]], calibration.judge(rows[[0, 2]]).p_value)
    assert math.isfinite(judge_group(calibration, rows).p_value)


def test_a_verdict_does_not_depend_on_the_batch(calibration: anomaly.Calibration) -> None:
    rows = table(50, 3, 8)
    alone = torch.cat([calibration.judge(row[None]).p_value for row in rows])
    torch.testing.assert_close(alone, calibration.judge(rows).p_value, atol=1 / 2001, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_ordinary_groups_rarely_alarm(calibration: anomaly.Calibration, size: int) -> None:
    groups = [judge_group(calibration, table(size, 3, 100 + seed)).p_value for seed in range(400)]
    alarms = sum(p <= 0.05 for p in groups)
    assert alarms <= 39, "20 expected of 400; 39 has a probability below 1e-4"


def test_a_group_is_sharper_than_its_items(calibration: anomaly.Calibration) -> None:
    shifted = table(100, 3, 9) * 1.6
    assert judge_group(calibration, shifted).p_value < 1e-6
    assert (calibration.judge(shifted).p_value < 0.01).double().mean() < 0.2


def test_tensors_make_the_same_calibration_again(calibration: anomaly.Calibration) -> None:
    again = anomaly.Calibration.from_tensors((LIKELIHOOD, PAIR), calibration.tensors())
    rows = table(100, 3, 10)
    assert torch.equal(again.judge(rows).p_value, calibration.judge(rows).p_value)
    assert judge_group(again, rows) == judge_group(calibration, rows)
    held_out = calibration.held_out("log_likelihood")
    torch.testing.assert_close(held_out, table(2000, 3, 2)[:, 0], rtol=1e-3, atol=0.02)


def test_a_constant_statistic_says_nothing_and_breaks_nothing() -> None:
    fit, reference, rows = (table(100, 3, seed) for seed in (1, 2, 3))
    for part in (fit, reference, rows):
        part[:, 1] = 7.0
    p_values = anomaly.Calibration.of((LIKELIHOOD, PAIR), fit, reference).judge(rows).p_value
    assert bool(p_values.isfinite().all())
    assert 0.3 < p_values.mean() < 0.7


@pytest.mark.parametrize(
    ("fit", "reference"),
    [
        (torch.ones(5, 3), torch.ones(50, 3)),
        (torch.ones(50, 3), torch.ones(5, 3)),
        (torch.ones(50, 2), torch.ones(50, 3)),
        (torch.full((50, 3), math.nan), torch.ones(50, 3)),
    ],
)
def test_tables_that_calibrate_nothing_are_refused(fit: Tensor, reference: Tensor) -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        anomaly.Calibration.of((LIKELIHOOD, PAIR), fit, reference)


def test_left_out_strangeness_is_that_of_a_density_without_the_point() -> None:
    points = table(60, 2, 11)
    density = KernelDensity(points)
    left_out = density.strangeness_left_out()
    whole = density.strangeness(points)
    assert bool((left_out > whole).all()), "a point is stranger to the others than to itself"
    # exp(-whole) counts the point's own kernel, which is exp(0)
    torch.testing.assert_close((-whole).exp() - 1, (-left_out).exp(), atol=1e-4, rtol=1e-3)


def test_of_many_points_the_first_carry_the_density_and_all_of_them_are_told_how_strange_they_are() -> None:
    points = table(900, 2, 12)
    density = KernelDensity(points)
    left_out, whole = density.strangeness_left_out(), density.strangeness(points)
    assert len(left_out) == len(points)
    kernels = left_out > whole
    assert bool(kernels[:512].all())
    assert not bool(kernels[512:].any()), "the others were never in"
    torch.testing.assert_close(left_out[512:], whole[512:])
    assert left_out[:512].median() == pytest.approx(float(left_out[512:].median()), abs=0.2), "they are strange alike"


def test_another_machines_rounding_of_a_constant_statistic_is_no_news() -> None:
    fit, reference, rows = (table(200, 3, seed) for seed in (1, 2, 3))
    for part in (fit, reference, rows):
        part[:, 1] = 543.21
    calibration = anomaly.Calibration.of((LIKELIHOOD, PAIR), fit, reference)
    rounded = rows.clone()
    rounded[:, 1] *= 1 + 1e-7
    torch.testing.assert_close(calibration.judge(rounded).p_value, calibration.judge(rows).p_value, atol=0.01, rtol=0)
    assert judge_group(calibration, rounded).p_value == pytest.approx(judge_group(calibration, rows).p_value)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 0.5))
def test_benjamini_hochberg_flags_the_most_that_its_line_allows(p_values: list[float], rate: float) -> None:
    flags = anomaly.benjamini_hochberg(torch.tensor(p_values, dtype=torch.float64), rate)
    below = [k for k, p in enumerate(sorted(p_values), 1) if p <= rate * k / len(p_values)]
    assert int(flags.sum()) == max(below, default=0)
    flagged = [p for p, flag in zip(p_values, flags.tolist(), strict=True) if flag]
    assert sorted(flagged) == sorted(p_values)[: len(flagged)], "the smallest are flagged"


def test_code_bits_is_that_of_a_lossless_code(digits: Digits) -> None:
    flat = torch.zeros(1, 28, 28, dtype=torch.uint8)
    noise = torch.randint(0, 256, (1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ramp = torch.arange(28, dtype=torch.uint8).repeat(28, 1)[None] * 3
    lengths = [code_bits(images).item() for images in (flat, ramp, digits.test[:1], noise)]
    assert lengths == sorted(lengths)
    assert lengths[-1] >= 784 * 8, "noise cannot be compressed"
    assert lengths[1] < 8 * len(zlib.compress(ramp.numpy().tobytes())), "the predictor sees the ramp"
    assert code_bits(digits.test[:5]).tolist() == [code_bits(image[None]).item() for image in digits.test[:5]]


@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.sampled_from([0, 1, 9, 130, 255])))
def test_code_bits_are_those_of_a_coder_that_goes_pixel_by_pixel(image: np.ndarray) -> None:
    assert code_bits(torch.from_numpy(image)[None]).item() == pytest.approx(sequential_code_bits(image.tolist()))


def sequential_code_bits(image: list[list[int]]) -> float:
    """The same code as a decoder would follow it: each pixel costs what the pixels before it have made it cost."""
    seen: dict[int, list[float]] = {}
    bits = 0.0

    def at(row: int, column: int) -> int:
        return image[row][column] if row >= 0 and 0 <= column < len(image[0]) else 0

    for row, pixels in enumerate(image):
        for column, pixel in enumerate(pixels):
            west, north = at(row, column - 1), at(row - 1, column)
            corner, east = at(row - 1, column - 1), at(row - 1, column + 1)
            predicted = sorted((west, north, west + north - corner))[1]
            residual = (pixel - predicted + 128) % 256 - 128
            activity = abs(west - corner) + abs(corner - north) + abs(north - east)
            counts = seen.setdefault(sum(activity >= least for least in (1, 8, 64)), [0.5] * 17)
            length = abs(residual).bit_length()
            kind = length + 8 * (residual < 0)
            bits += -math.log2(counts[kind] / sum(counts)) + max(length - 1, 0)
            counts[kind] += 1
    return bits


def test_pixels_that_cost_more_bits_are_the_busy_ones(digits: Digits) -> None:
    images = torch.zeros(1, 28, 28, dtype=torch.uint8)
    images[:, 14:, 14:] = digits.test[0, 7:21, 7:21]
    length = code_length(images)
    assert length.pixels.shape == images.shape
    assert length.pixels[0, 14:, 14:].mean() > 10 * length.pixels[0, :14].mean()
    torch.testing.assert_close(length.pixels.sum().double(), length.bits[0], rtol=0.2, atol=0)
    assert length.counts.sum() == 28 * 28
    assert length.counts[0, 0].argmax() == 0, "where nothing happens residuals have no bits"


def test_code_bits_of_colour_sums_over_channels(digits: Digits) -> None:
    colour = digits.test[:2, :, :, None].expand(-1, -1, -1, 3)
    assert bool((code_bits(colour) > code_bits(digits.test[:2])).all())


@pytest.fixture(scope="module")
def fitted(digits: Digits) -> Flow:
    """A NICE that has learnt a little of the real digits: the start alone knows each pixel's mean and spread."""
    torch.manual_seed(0)
    flow = flows.nice((28, 28), hidden=[64])
    flow.initialise(flow.to_continuous(digits.train[:500]))
    return flow.eval().requires_grad_(False)


def statistics_of(flow: Flow, items: Tensor) -> Tensor:
    return anomaly.statistics(flow, flow.to_continuous(items))


def test_statistics_are_named_finite_and_the_items_own(fitted: Flow, digits: Digits) -> None:
    found = statistics_of(fitted, digits.test)
    assert found.shape == (500, len(anomaly.names_of(fitted)))
    assert set(anomaly.names_of(fitted)) <= set(anomaly.STATISTICS)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(statistics_of(fitted, digits.test[7:8])[0], found[7], atol=1e-3, rtol=1e-5)
    log_likelihood = fitted.log_prob(fitted.to_continuous(digits.test)).double()
    torch.testing.assert_close(found[:, anomaly.names_of(fitted).index("log_likelihood")], log_likelihood)


def test_real_digits_pass_and_foreign_pictures_do_not(fitted: Flow, digits: Digits) -> None:
    held_out = statistics_of(fitted, digits.train[500:])
    verdicts = anomaly.Calibration.of(anomaly.tests_of(fitted), held_out[:200], held_out[200:])
    ordinary = verdicts.judge(statistics_of(fitted, digits.test)).p_value
    assert (ordinary <= 0.1).double().mean() < 0.2
    inverted = 255 - digits.test[:100]
    turned_to_noise = torch.randint(0, 256, (100, 28, 28), dtype=torch.uint8)
    flat = torch.arange(100, dtype=torch.uint8)[:, None, None].expand(100, 28, 28)
    for foreign in (inverted, turned_to_noise, flat):
        assert (verdicts.judge(statistics_of(fitted, foreign)).p_value <= 0.02).double().mean() > 0.9


def test_a_patch_over_a_picture_saves_the_least_of_all_its_windows(fitted: Flow, digits: Digits) -> None:
    patched = digits.test[:50].clone()
    patched[:, 4:12, 4:12] = 128
    names = anomaly.names_of(fitted)
    whole, with_patch = statistics_of(fitted, digits.test[:50]), statistics_of(fitted, patched)
    least = names.index("least_saving")
    assert (with_patch[:, least] < whole[:, least]).double().mean() > 0.9
    inside, elsewhere = (names.index(f"region_log_likelihood_{row}_{row}") for row in (2, 6))
    assert bool((with_patch[:, inside] < whole[:, inside]).all())
    assert (with_patch - whole)[:, elsewhere].abs().mean() < 0.1 * (whole - with_patch)[:, inside].mean()


def test_savings_are_bits_of_the_code_less_those_of_the_flow(fitted: Flow, digits: Digits) -> None:
    found, names = statistics_of(fitted, digits.test[:50]), anomaly.names_of(fitted)
    bits = bits_per_dim(fitted.log_prob(fitted.to_continuous(digits.test[:50])).double(), 784)
    saved = code_length(digits.test[:50]).pixels.double().mean(dim=(1, 2)) - bits
    least, most = (found[:, names.index(f"{name}_saving")] for name in ("least", "most"))
    assert bool(((least < saved) & (saved < most)).all())


def test_columns_hold_what_their_names_say(fitted: Flow, digits: Digits) -> None:
    images = digits.test[:20]
    found, code = statistics_of(fitted, images), code_length(images)
    column = dict(zip(anomaly.names_of(fitted), found.T, strict=True))
    z = fitted.in_place(fitted.encode(fitted.to_continuous(images))[0]).double()
    top, left = (z[:, :-1] * z[:, 1:]).sum(dim=(1, 2)), (z[:, :, :-1] * z[:, :, 1:]).sum(dim=(1, 2))
    squares = z.square().sum(dim=(1, 2))
    expected = {
        "code_bits": code.bits,
        "correlation_across": left / squares,
        "correlation_down": top / squares,
        "region_bits_1_1": code.pixels[:, :5, :5].mean(dim=(1, 2)),
        "region_bits_6_6": code.pixels[:, -5:, -5:].mean(dim=(1, 2)),
        "texture_1_0": (code.counts[:, 0, 0] + 0.5).log(),
        "texture_4_6": (code.counts[:, 3, 6:].sum(dim=1) + 0.5).log(),
    }
    for name, values in expected.items():
        torch.testing.assert_close(column[name], values.double(), rtol=1e-4, atol=1e-5, msg=name)


def test_latents_that_no_image_row_divides_are_measured_all_the_same() -> None:
    flow = flows.nice((5, 7), hidden=[8]).requires_grad_(False)
    items = torch.randint(0, 256, (4, 5, 7), dtype=torch.uint8)
    assert bool(statistics_of(flow, items).isfinite().all())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nice", {"hidden": [8]}),
        ("lattice", {"width": 8, "blocks": 1}),
        ("realnvp", {"hidden": [8], "levels": 3}),
        ("glow", {"hidden": [8], "steps": 1, "levels": 2}),
    ],
)
@pytest.mark.parametrize("shape", [(16, 24), (16, 24, 3)])
def test_every_latent_is_put_where_the_pixel_stands_that_it_came_from(
    name: str, arguments: dict[str, object], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    flow = flows.build(name, shape, arguments).requires_grad_(False)
    places = flow.in_place(torch.arange(float(flow.dimensions)).reshape(1, *flow.prior.shape))
    assert places.shape == (1, *shape)
    assert places.flatten().sort().values.tolist() == list(range(flow.dimensions)), "each latent once"
    x = flow.to_continuous(torch.randint(0, 256, (1, *shape), dtype=torch.uint8))
    for pixel in ((0, 0), (5, 7), (15, 22)):
        other = x.clone()
        other[:, *pixel] = 1 - other[:, *pixel]
        moved = (flow.in_place(flow.encode(other)[0]) - flow.in_place(flow.encode(x)[0])).abs()
        assert bool((moved[:, *pixel] > 0).any()), pixel


def test_vectors_are_judged_too_and_extremes_never_turn_into_nan() -> None:
    torch.manual_seed(0)
    flow = flows.nice((3,), hidden=[16], image=False).eval().requires_grad_(False)
    x = torch.randn(1500, 3)
    flow.initialise(x[:500])
    calibration = anomaly.Calibration.of(
        anomaly.tests_of(flow), statistics_of(flow, x[500:800]), statistics_of(flow, x[800:])
    )
    extremes = torch.tensor([[1e4, 0, 0], [1e30, 1, 1], [3e38, 3e38, -3e38], [0, 0, 1e-30]])
    p_values = calibration.judge(statistics_of(flow, extremes)).p_value
    assert p_values[:3].tolist() == pytest.approx([1 / 701] * 3)
    assert 0 < p_values[3] <= 1


def kolmogorov_smirnov(p_values: Tensor) -> float:
    """The largest distance between the distribution of p-values (n,) and the uniform one."""
    ordered, n = p_values.sort().values, len(p_values)
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    return float(torch.maximum((steps - ordered).abs(), (ordered - steps + 1 / n).abs()).max())
