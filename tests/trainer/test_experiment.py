"""What a run starts from."""

from pathlib import Path

import torch

from flows import DiagonalScaling
from trainer import data
from trainer.experiment import fresh_state, parameter_groups
from trainer.preset import Preset

CPU = torch.device("cpu")


def test_latents_start_with_the_spread_of_the_prior_and_the_mean_of_the_data(tiny: Preset, tmp_path: Path) -> None:
    splits = data.load(tiny.data, tmp_path / "data", seed=0)
    flow = fresh_state(tiny, splits, 0, CPU).flow
    with torch.no_grad():
        z, _ = flow.encode(flow.to_continuous(splits.train))
    assert (z.std(dim=0) / flow.prior.std - 1).abs().max() < 0.01
    assert z.mean(dim=0).abs().max() < 0.1


def test_a_start_follows_from_its_seed_and_leaves_the_global_generator_alone(tiny: Preset, tmp_path: Path) -> None:
    splits = data.load(tiny.data, tmp_path / "data", seed=0)
    before = torch.get_rng_state()
    one, same, other = (fresh_state(tiny, splits, seed, CPU).flow.state_dict() for seed in (0, 0, 1))
    assert torch.get_rng_state().equal(before)
    assert all(one[name].equal(tensor) for name, tensor in same.items())
    assert not all(one[name].equal(tensor) for name, tensor in other.items())


def test_every_parameter_is_optimised_and_only_matrices_decay_and_only_scalings_learn_faster(
    tiny: Preset, tmp_path: Path
) -> None:
    flow = fresh_state(tiny, data.load(tiny.data, tmp_path / "data", seed=0), 0, CPU).flow
    matrices, vectors, scales = parameter_groups(flow, tiny)
    grouped = [id(p) for group in (matrices, vectors, scales) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in flow.parameters())
    assert [id(p) for p in scales["params"]] == [
        id(m.log_scale) for m in flow.modules() if isinstance(m, DiagonalScaling)
    ]
    assert scales["boost"] / matrices["boost"] == tiny.scaling_boost
    assert (matrices["weight_decay"], vectors["weight_decay"], scales["weight_decay"]) == (tiny.weight_decay, 0, 0)
    assert all(p.ndim == 2 for p in matrices["params"])
