"""The mean of a run's start and its end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import flows
from flows import Flow
from trainer.run.averaging import average_with_start
from trainer.run.ranks import Ranks
from trainer.run.start import Start
from trainer.run.state import Progress, TrainingState, Validation

NORMAL = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))


def scaled(log_scale: float) -> Flow:
    """A flow that is a normal distribution of another width."""
    flow = flows.nice((2,), hidden=[4], couplings=1, prior="normal", image=False)
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            parameter.fill_(log_scale if "log_scale" in name else 0.0)
    return flow


def likelihood(flow: Flow) -> float:
    with torch.no_grad():
        return float(flow.log_prob(NORMAL).mean())


@pytest.mark.parametrize(("end", "kept"), [(-0.3, True), (0.3, False), (float("nan"), False)])
def test_the_mean_is_kept_where_it_is_better_than_both(end: float, kept: bool) -> None:
    first, last = scaled(0.3), scaled(end)
    assert len({name for name, _ in first.named_parameters() if "log_scale" in name}) == 1
    none: Any = None
    initial = Validation(epoch=0, validation=likelihood(first) + 1e-4)
    state = TrainingState(last, none, progress=Progress(initial=initial))
    start = Start(
        reference="normal@1",
        digest="",
        architecture="nice",
        item_shape=(2,),
        arguments={},
        weights={name: tensor.clone() for name, tensor in first.state_dict().items()},
    )
    told: list[str] = []
    found = average_with_start(state, start, NORMAL, Ranks(torch.device("cpu")), told.append)
    assert ("the best, so it is kept" in told[0]) == kept
    assert (found is not None) == kept
    if kept:
        assert found == pytest.approx(likelihood(scaled(0.0)), abs=1e-5)
        assert likelihood(state.flow) == pytest.approx(found)


def test_weights_that_are_no_numbers_stay() -> None:
    """Masks and counts of the last state are taken as they are."""
    flow = scaled(0.1)
    flow.register_buffer("count", torch.tensor(3))
    none: Any = None
    state = TrainingState(flow, none, progress=Progress(initial=Validation(epoch=0, validation=0.0)))
    other: dict[str, Tensor] = {name: tensor.clone() for name, tensor in flow.state_dict().items()}
    other["count"] = torch.tensor(9)
    start = Start(reference="a@1", digest="", architecture="nice", item_shape=(2,), arguments={}, weights=other)
    average_with_start(state, start, NORMAL, Ranks(torch.device("cpu")), lambda _: None)
    assert int(flow.state_dict()["count"]) == 3
