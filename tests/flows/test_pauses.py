"""A pass that pauses computes what it computes without pauses, bit for bit, and other work may be done in between."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

import flows
from flows import inpainting, noise
from flows.nets.precision import with_bfloat16_nets
from flows.pauses import pausing
from tests.flows.cases import FLOWS


def log_prob_and_gradient(flow: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    point = x.clone().requires_grad_()
    log_prob = flow(point)
    (gradient,) = torch.autograd.grad(log_prob.sum(), point)
    return log_prob.detach(), gradient


@pytest.mark.parametrize("name", FLOWS)
def test_a_pass_that_pauses_gives_the_same_bits_forward_and_backward(name: str) -> None:
    flow, x = FLOWS[name].make().requires_grad_(False), FLOWS[name].points().float()
    plain, calls = log_prob_and_gradient(flow, x), 0

    def score() -> None:
        nonlocal calls
        calls += 1
        if calls % 16 == 1:  # a deep flow has hundreds of layers
            with torch.inference_mode():
                assert torch.equal(flow(x), plain[0])

    with pausing(flow, score), torch.inference_mode():
        assert torch.equal(flow(x), plain[0])
    forward = calls
    with pausing(flow, score):
        found = log_prob_and_gradient(flow, x)
    assert all(map(torch.equal, found, plain))
    assert forward >= 2
    assert calls - forward > forward, "once more for each layer that the gradient comes through"


@pytest.mark.parametrize("method", inpainting.METHODS)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_steps_of_inpaintings_that_pause_give_the_same_bits(method: str, bfloat16: bool) -> None:
    case = FLOWS["nice-image"]
    flow = case.make().requires_grad_(False)
    flow = with_bfloat16_nets(flow) if bfloat16 else flow
    survey = inpainting.survey(flow)
    x, keys = case.points().float(), noise.keys(0, 5)
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[:, :, 2:] = True

    def steps() -> list[Tensor]:
        climb = inpainting.start(flow, x, hidden, keys, survey=survey, method=method, steps=2)
        for _ in range(2):
            climb = inpainting.step(flow, climb)
        return climb.flat()

    plain = steps()

    def work() -> None:
        with torch.inference_mode():
            flow(x)
        log_prob_and_gradient(flow, x)  # a backward pass inside of another

    with pausing(flow, work):
        assert all(map(torch.equal, steps(), plain))


@pytest.mark.parametrize("inference", [False, True])
def test_a_pause_is_outside_of_the_modes_of_its_pass_and_leaves_them_alone(inference: bool) -> None:
    net = flows.MLP(2, [8], 1).requires_grad_(False)
    seen: list[tuple[bool, bool]] = []
    with pausing(net, lambda: seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))):
        if inference:
            with torch.inference_mode():
                net(torch.ones(1, 2))
                assert torch.is_inference_mode_enabled()
        else:
            log_prob_and_gradient(net, torch.ones(1, 2))
            assert torch.is_grad_enabled()
    assert seen == [(True, False)] * (2 if inference else 4)


def test_nothing_is_called_and_nothing_is_left_outside_the_context() -> None:
    net = flows.MLP(2, [8], 1)
    calls: list[None] = []
    with pausing(net, lambda: calls.append(None)):
        y = net(torch.ones(1, 2))
    assert len(calls) == 2
    y.sum().backward()
    net(torch.ones(1, 2))
    assert len(calls) == 2
    assert not any(module._forward_hooks for module in net.modules())


def test_a_module_that_is_used_in_a_pause_does_not_pause_itself() -> None:
    net = flows.MLP(2, [8], 1)
    depths, depth = [], 0

    def between() -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        log_prob_and_gradient(net, torch.ones(1, 2))
        depth -= 1

    with pausing(net, between):
        net(torch.ones(1, 2))
    assert depths == [1, 1]


def test_passes_of_other_threads_do_not_pause() -> None:
    net = flows.MLP(2, [8], 1)
    calls: list[int] = []
    with pausing(net, lambda: calls.append(threading.get_ident())):
        thread = threading.Thread(target=log_prob_and_gradient, args=(net, torch.ones(1, 2)))
        thread.start()
        thread.join()
        assert calls == []
        log_prob_and_gradient(net, torch.ones(1, 2))
    assert calls == [threading.get_ident()] * 4, "on the CPU a backward pass runs in the thread that asks for it"


@pytest.mark.parametrize("place", [1, 2, 3, 4])
def test_an_error_in_a_pause_ends_the_pass(place: int) -> None:
    net = flows.MLP(2, [8], 1)
    calls: list[None] = []

    def between() -> None:
        calls.append(None)
        if len(calls) == place:
            raise ArithmeticError("in between")

    with pytest.raises(ArithmeticError, match="in between"), pausing(net, between):
        log_prob_and_gradient(net, torch.ones(1, 2))
    assert len(calls) == place
    assert not any(module._forward_hooks for module in net.modules())
