"""The measure of what drawn levels cost: its parts sum to the whole, and true levels stay true."""

import pytest
import torch

import flows
import model_store
from bench.draws_by_level import bits_by_level, drawn_from, masks_of, stepped
from flows.architectures.lattice_flow import LatticeFlow
from tests.flows.cases import disturb


def test_levels_sum_to_the_bits_of_the_flow_and_only_drawn_ones_change() -> None:
    flow = disturb(flows.lattice((8, 8, 3), width=4, blocks=1, components=2, joint=True))
    assert isinstance(flow, LatticeFlow)
    x = flow.to_continuous(torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8))
    with torch.no_grad():
        masks = masks_of(flow)
        assert [int(mask.sum()) for mask in masks] == [12, 12, 24, 48, 96]
        whole = float(flows.bits_per_dim(flow.log_prob(x).mean(), flow.dimensions))
        assert sum(bits_by_level(flow, x, masks)) == pytest.approx(whole, abs=1e-4)
        assert drawn_from(flow, x, masks, 5, seed=0).equal(x)
        changed = (drawn_from(flow, x, masks, 3, seed=0) != x).any(dim=0)
    assert changed.equal(masks[3] | masks[4])


def test_weights_of_a_smooth_flow_serve_a_stepped_one() -> None:
    model = model_store.Store(model_store.default_root()).load("mnist", 10)
    flow, item = stepped(model), torch.zeros(1, 28, 28, dtype=torch.uint8)
    item[0, 6:22, 13:15] = 200
    with torch.no_grad():
        either = [flow.log_prob(flow.to_continuous(item, seed)) for seed in (0, 1)]
        smooth = [model.flow.log_prob(model.flow.to_continuous(item, seed)) for seed in (0, 1)]
    assert either[0] == pytest.approx(either[1], abs=1e-2)
    assert smooth[0] != pytest.approx(smooth[1], abs=1)
