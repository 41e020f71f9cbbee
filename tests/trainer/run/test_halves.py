"""Training on half of each image's places."""

import pytest
import torch

import flows
from trainer.errors import TrainerError
from trainer.run.halves import Halves


def test_the_mean_over_a_batch_and_its_swapped_halves_is_the_mean_log_likelihood() -> None:
    flow = flows.lattice((8, 8, 3), width=6, blocks=1, components=2, joint=True).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.rand(4, 8, 8, 3, dtype=torch.float64)
    halves = Halves(flow)
    once, swapped = halves(x), halves(x.roll(2, dims=0)).roll(2, dims=0)
    assert not torch.allclose(once, swapped)
    assert torch.allclose((once + swapped) / 2, flow.log_prob(x))


def test_flows_without_places_are_refused() -> None:
    for flow in (flows.nice((4, 4), hidden=[8]), flows.lattice((8, 8), width=6, blocks=1, components=2)):
        with pytest.raises(TrainerError, match="half_places"):
            Halves(flow)
