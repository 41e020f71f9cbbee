"""Flows in a stack give what each gives alone."""

from __future__ import annotations

import pytest
import torch

import flows


def members(coupling: str) -> list[flows.Flow]:
    """Three flows with other data and other weights, as if they had been trained."""
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        flow = flows.table((5,), coupling=coupling, couplings=3, hidden=[8, 8])
        flow.initialise(seed + (1 + seed) * torch.randn(50, 5) @ torch.randn(5, 5))
        for parameter in flow.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape)
        made.append(flow)
    return made


@pytest.mark.parametrize("coupling", ["spline", "affine", "additive"])
def test_each_flow_of_a_stack_gives_its_own_likelihoods_and_gradients(coupling: str) -> None:
    alone = members(coupling)
    stacked = flows.StackedFlows(alone)
    x = torch.randn(3, 7, 5)
    found = stacked(x)
    torch.autograd.backward(found.sum())
    stacked.gather_gradients()
    for number, flow in enumerate(alone):
        expected = flow.log_prob(x[number])
        torch.testing.assert_close(found[number], expected, atol=1e-4, rtol=1e-4)
        torch.autograd.backward(expected.sum())
        gradients = sorted(float(p.grad.square().sum()) for p in flow.parameters() if p.grad is not None)
        total = sum(float(w.grad[number].square().sum()) for w in stacked.weights.values() if w.grad is not None)
        assert total == pytest.approx(sum(gradients), rel=1e-3)


def test_weights_are_written_back_to_the_flow_that_they_belong_to() -> None:
    alone = members("affine")
    before = [[parameter.detach().clone() for parameter in flow.parameters()] for flow in alone]
    stacked = flows.StackedFlows(alone)
    with torch.no_grad():
        for weights in stacked.weights.values():
            weights += torch.tensor([[1.0], [2.0], [3.0]])
    stacked.write_back()
    for number, (flow, old) in enumerate(zip(alone, before, strict=True)):
        for parameter, value in zip(flow.parameters(), old, strict=True):
            torch.testing.assert_close(parameter.detach(), value + number + 1)


def test_flows_with_other_layers_cannot_be_stacked() -> None:
    flow = flows.nice((2,), image=False, hidden=[4], whitening="none")
    assert not flows.StackedFlows.possible(flow)
    with pytest.raises(TypeError, match="cannot be stacked"):
        flows.StackedFlows([flow, flow])
