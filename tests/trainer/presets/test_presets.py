"""Every preset describes a flow that can be built for its data, and schedules follow the preset."""

import math
from dataclasses import replace

import pytest

import flows
from trainer.data import Cifar10, IdxImages, Svhn, TorontoFaces, Toy
from trainer.optimisers.schedule import FINAL_SHARE, ema_decay, learning_rate
from trainer.presets import PRESETS, Preset

SHIPPED_BYTES = 5_000_000
SHAPES: dict[type, tuple[int, ...]] = {
    IdxImages: (28, 28),
    Cifar10: (32, 32, 3),
    Svhn: (32, 32, 3),
    TorontoFaces: (48, 48),
    Toy: (2,),
}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_the_flow_of_a_preset_can_be_built_for_its_data(preset: Preset) -> None:
    shape = SHAPES.get(type(preset.data))
    if shape is None:  # the data are a user's, and the smoke test has a stand-in for them
        assert preset.smoke is not None
        shape = SHAPES[type(preset.smoke.data)]
    flow = flows.build(preset.architecture, shape, preset.arguments)
    assert flow.is_image == (len(shape) > 1)
    if preset.name.endswith("-small"):
        assert sum(parameter.numel() for parameter in flow.parameters()) * 2 < SHIPPED_BYTES - 200_000


def test_the_learning_rate_climbs_to_its_peak_and_falls_to_its_final_share() -> None:
    preset = PRESETS["mnist-nice"]
    rates = [learning_rate(preset, step, step / 3000) for step in range(3000)]
    assert rates[0] == pytest.approx(preset.learning_rate / preset.warmup_steps, rel=1e-3)
    assert max(rates) == pytest.approx(preset.learning_rate, rel=0.02)
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)
    assert rates[-1] == pytest.approx(preset.learning_rate * FINAL_SHARE, rel=0.01)
    assert rates[400:] == sorted(rates[400:], reverse=True)


def test_the_rate_of_a_preset_with_a_decay_share_is_constant_and_then_falls_to_its_final_share() -> None:
    preset = replace(PRESETS["mnist-nice"], decay_share=0.25)
    rates = [learning_rate(preset, 1000 + step, step / 1000) for step in range(1001)]
    assert set(rates[:751]) == {preset.learning_rate}
    assert rates[750:] == sorted(rates[750:], reverse=True)
    assert rates[875] == pytest.approx(preset.learning_rate * (1 + FINAL_SHARE) / 2, rel=0.01)
    assert rates[-1] == pytest.approx(preset.learning_rate * FINAL_SHARE)


def test_the_average_forgets_its_first_weights_and_then_decays_as_the_preset_says() -> None:
    preset = replace(PRESETS["mnist-nice"], ema_decay=0.99)
    assert ema_decay(preset, 0) == pytest.approx(0.1)
    assert ema_decay(preset, 10_000) == 0.99
    assert ema_decay(PRESETS["mnist-nice"], 10_000) == 0
