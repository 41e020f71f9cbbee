"""The state that a fresh run starts from."""

from pathlib import Path

import torch

from trainer import data
from trainer.presets import Preset
from trainer.run.initial_state import fresh_state

CPU = torch.device("cpu")


def test_latents_start_with_the_spread_of_the_prior_and_the_mean_of_the_data(tiny: Preset, tmp_path: Path) -> None:
    splits = data.load(tiny.data, tmp_path / "data", seed=0)
    flow = fresh_state(tiny, splits, 0, CPU).flow
    with torch.no_grad():
        z, _ = flow.encode(flow.to_continuous(splits.train))
    assert (z.std(dim=0) / flow.prior.std - 1).abs().max() < 0.01
    assert z.mean(dim=0).abs().max() < 0.1


def test_the_seed_decides_the_initial_weights_without_the_global_generator(tiny: Preset, tmp_path: Path) -> None:
    splits = data.load(tiny.data, tmp_path / "data", seed=0)
    before = torch.get_rng_state()
    one, same, other = (fresh_state(tiny, splits, seed, CPU).flow.state_dict() for seed in (0, 0, 1))
    assert torch.get_rng_state().equal(before)
    assert all(one[name].equal(tensor) for name, tensor in same.items())
    assert not all(one[name].equal(tensor) for name, tensor in other.items())
