"""Statistics of items: what the columns hold, and that atypical items stand out in them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import flows
from flows import Flow, anomaly, bits_per_dim
from flows.anomaly.complexity import code_length
from tests.conftest import Digits


@pytest.fixture(scope="module")
def fitted(digits: Digits) -> Flow:
    """A NICE initialised from real digits: that alone gives it the mean and spread of each pixel."""
    torch.manual_seed(0)
    flow = flows.nice((28, 28), hidden=[64])
    flow.initialise(flow.to_continuous(digits.train[:500]))
    return flow.eval().requires_grad_(False)


def statistics_of(flow: Flow, items: Tensor) -> Tensor:
    return anomaly.statistics(flow, flow.to_continuous(items))


def test_statistics_are_named_and_finite_and_depend_on_their_own_item(fitted: Flow, digits: Digits) -> None:
    found = statistics_of(fitted, digits.test)
    assert found.shape == (500, len(anomaly.names_of(fitted)))
    assert set(anomaly.names_of(fitted)) <= set(anomaly.STATISTICS)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(statistics_of(fitted, digits.test[7:8])[0], found[7], atol=1e-3, rtol=1e-5)
    log_likelihood = fitted.log_prob(fitted.to_continuous(digits.test)).double()
    torch.testing.assert_close(found[:, anomaly.names_of(fitted).index("log_likelihood")], log_likelihood)


def test_real_digits_pass_and_other_pictures_are_flagged(fitted: Flow, digits: Digits) -> None:
    held_out = statistics_of(fitted, digits.train[500:])
    verdicts = anomaly.Calibration.of(anomaly.tests_of(fitted), held_out[:200], held_out[200:])
    ordinary = verdicts.judge(statistics_of(fitted, digits.test)).p_value
    assert (ordinary <= 0.1).double().mean() < 0.2
    inverted = 255 - digits.test[:100]
    turned_to_noise = torch.randint(0, 256, (100, 28, 28), dtype=torch.uint8)
    flat = torch.arange(100, dtype=torch.uint8)[:, None, None].expand(100, 28, 28)
    for foreign in (inverted, turned_to_noise, flat):
        assert (verdicts.judge(statistics_of(fitted, foreign)).p_value <= 0.02).double().mean() > 0.9


def test_a_patch_over_a_picture_is_the_window_with_the_least_saving(fitted: Flow, digits: Digits) -> None:
    patched = digits.test[:50].clone()
    patched[:, 4:12, 4:12] = 128
    names = anomaly.names_of(fitted)
    whole, with_patch = statistics_of(fitted, digits.test[:50]), statistics_of(fitted, patched)
    least = names.index("least_saving")
    assert (with_patch[:, least] < whole[:, least]).double().mean() > 0.9
    inside, elsewhere = (names.index(f"region_log_likelihood_{row}_{row}") for row in (2, 6))
    assert bool((with_patch[:, inside] < whole[:, inside]).all())
    assert (with_patch - whole)[:, elsewhere].abs().mean() < 0.1 * (whole - with_patch)[:, inside].mean()


def test_savings_are_bits_of_the_code_minus_those_of_the_flow(fitted: Flow, digits: Digits) -> None:
    found, names = statistics_of(fitted, digits.test[:50]), anomaly.names_of(fitted)
    bits = bits_per_dim(fitted.log_prob(fitted.to_continuous(digits.test[:50])).double(), 784)
    saved = code_length(digits.test[:50]).pixels.double().mean(dim=(1, 2)) - bits
    least, most = (found[:, names.index(f"{name}_saving")] for name in ("least", "most"))
    assert bool(((least < saved) & (saved < most)).all())


def test_columns_hold_the_statistics_of_their_names(fitted: Flow, digits: Digits) -> None:
    images = digits.test[:20]
    found, code = statistics_of(fitted, images), code_length(images)
    column = dict(zip(anomaly.names_of(fitted), found.T, strict=True))
    z = fitted.in_item_layout(fitted.encode(fitted.to_continuous(images))[0]).double()
    top, left = (z[:, :-1] * z[:, 1:]).sum(dim=(1, 2)), (z[:, :, :-1] * z[:, :, 1:]).sum(dim=(1, 2))
    squares = z.square().sum(dim=(1, 2))
    second = (2 * torch.pi * (torch.arange(28) + 0.5) / 28).cos().double()
    expected = {
        "code_bits": code.bits,
        "correlation_across": left / squares,
        "correlation_down": top / squares,
        "region_bits_1_1": code.pixels[:, :5, :5].mean(dim=(1, 2)),
        "region_bits_6_6": code.pixels[:, -5:, -5:].mean(dim=(1, 2)),
        "texture_1_0": (code.counts[:, 0, 0] + 0.5).log(),
        "texture_4_6": (code.counts[:, 3, 6:].sum(dim=1) + 0.5).log(),
        "shape_0_0": images.double().mean(dim=(1, 2)) / 255 * 28,
        "shape_0_2": (images.double().sum(dim=1) * second).sum(dim=1) / 255 * 2**0.5 / 28,
    }
    for name, values in expected.items():
        torch.testing.assert_close(column[name], values.double(), rtol=1e-4, atol=1e-5, msg=name)


def test_images_with_an_odd_number_of_entries_have_finite_statistics() -> None:
    flow = flows.nice((5, 7), hidden=[8]).requires_grad_(False)
    items = torch.randint(0, 256, (4, 5, 7), dtype=torch.uint8)
    assert bool(statistics_of(flow, items).isfinite().all())


def test_a_calibration_of_fewer_tests_judges_statistics_of_today(fitted: Flow, digits: Digits) -> None:
    found = statistics_of(fitted, digits.train)
    tests = anomaly.tests_of(fitted)[:5]
    names = tuple(name for test in tests for name in test.statistics)
    assert anomaly.tests_named(fitted, names) == tests
    before = found[:, : len(names)]
    earlier = anomaly.Calibration.of(tests, before[:200], before[200:])
    assert torch.equal(earlier.judge(found).p_value, earlier.judge(before).p_value)
    with pytest.raises(ValueError, match="not those that this version"):
        anomaly.tests_named(fitted, names[1:])


def test_colours_and_few_pixels_have_shapes_too() -> None:
    flow = flows.nice((5, 7, 3), hidden=[8]).requires_grad_(False)
    items = torch.randint(0, 256, (4, 5, 7, 3), dtype=torch.uint8)
    column = dict(zip(anomaly.names_of(flow), statistics_of(flow, items).T, strict=True))
    torch.testing.assert_close(column["shape_0_0"], items.double().mean(dim=(1, 2, 3)) / 255 * 35**0.5)
    assert not column["shape_7_0"].any()


def test_vectors_have_p_values_that_are_never_nan() -> None:
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
