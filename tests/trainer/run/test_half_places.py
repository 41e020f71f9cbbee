"""Training on half of each image's places."""

import pytest
import torch

import flows
from trainer.errors import TrainerError
from trainer.run.half_places import HalfPlaces


def test_the_mean_over_all_turns_of_a_batch_is_the_mean_log_likelihood() -> None:
    """Each turn moves the rows to other parts of the batch; the first level's ten groups make five parts."""
    flow = flows.lattice((32, 32), width=4, blocks=1, components=2, joint=True, quartered=3).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x, halves = torch.rand(10, 32, 32, dtype=torch.float64), HalfPlaces(flow)
    with torch.no_grad():
        each = torch.stack([halves(x.roll(turn, dims=0)).roll(-turn, dims=0) for turn in range(10)])
        assert not torch.allclose(each[0], each[5])
        assert torch.allclose(each.mean(dim=0), flow.log_prob(x))


def test_flows_without_places_are_refused() -> None:
    for flow in (flows.nice((4, 4), hidden=[8]), flows.lattice((8, 8), width=6, blocks=1, components=2)):
        with pytest.raises(TrainerError, match="half_places"):
            HalfPlaces(flow)
