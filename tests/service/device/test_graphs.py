"""Recorded passes, with a recording that works on the CPU: it runs its work again on the same memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import flows
from flows import Flow, inpainting, noise
from service.device.columns import Columns
from service.device.graphs import Graphs, Recording


class Again:
    """Does its work anew at each replay and writes over what the one before computed, as a graph's kernels do."""

    def __init__(self, work: Callable[[], list[Tensor]], _: Any) -> None:
        self._work = work
        self.outputs = [output.clone() for output in work()]

    def replay(self) -> None:
        for output, new in zip(self.outputs, self._work(), strict=True):
            output.copy_(new)


@pytest.fixture
def flow() -> Flow:
    torch.manual_seed(0)
    return flows.nice((4, 4), hidden=[8]).requires_grad_(False)


def doubled(rows: Columns) -> Columns:
    return Columns({"value": rows["value"] * 2, "sum": rows["value"].sum(dim=1)})


def test_a_pass_is_recorded_the_second_time_and_gives_the_same(flow: Flow) -> None:
    made: list[Recording] = []

    def record(work: Callable[[], list[Tensor]], pool: Any) -> Recording:
        made.append(Again(work, pool))
        return made[-1]

    graphs = Graphs(record)
    for start in range(4):
        value = torch.arange(6.0).reshape(2, 3) + start
        found = graphs.run(flow, "double", doubled, Columns({"value": value}))
        assert torch.equal(found["value"], value * 2)
        assert torch.equal(found["sum"], value.sum(dim=1))
        assert len(made) == (start > 0)
    assert graphs.recorded == 1


def test_each_size_and_dtype_has_a_recording_of_its_own(flow: Flow) -> None:
    graphs = Graphs(Again)
    for _ in range(2):
        for value in (torch.ones(1, 3), torch.ones(2, 3), torch.ones(2, 3, dtype=torch.float64)):
            assert graphs.run(flow, "double", doubled, Columns({"value": value}))["value"].dtype == value.dtype
    assert graphs.recorded == 3


def test_an_answer_outlives_the_next_replay(flow: Flow) -> None:
    graphs = Graphs(Again)
    answers = [
        graphs.run(flow, "double", doubled, Columns({"value": torch.full((1, 3), k)})) for k in (1.0, 2.0, 3.0, 4.0)
    ]
    assert [answer["value"][0, 0].item() for answer in answers] == [2, 4, 6, 8]


def test_work_that_cannot_be_recorded_goes_on_as_it_is(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(work: Callable[[], list[Tensor]], _: Any) -> Recording:
        raise RuntimeError("not permitted when stream is capturing\nand more")

    graphs = Graphs(refuse)
    for _ in range(3):
        found = graphs.run(flow, "double", doubled, Columns({"value": torch.ones(1, 3)}))
        assert found["sum"].item() == 6 / 2
    assert graphs.failed == 1
    assert [record.message for record in caplog.records] == [
        "passes of double run without a CUDA graph: not permitted when stream is capturing"
    ]


def test_recordings_go_with_their_flow() -> None:
    graphs = Graphs(Again)
    flow = flows.nice((4, 4), hidden=[8])
    for _ in range(2):
        graphs.run(flow, "double", doubled, Columns({"value": torch.ones(1, 3)}))
    assert len(graphs) == 1
    del flow
    assert len(graphs) == 0


@pytest.mark.parametrize("method", list(inpainting.METHODS))
def test_recorded_inpaintings_take_the_same_steps(flow: Flow, method: str) -> None:
    x = torch.rand(3, 4, 4)
    hidden = torch.zeros(3, 4, 4, dtype=torch.bool)
    hidden[:, 2:] = True
    survey = inpainting.survey(flow)
    plain = recorded = inpainting.start(flow, x, hidden, noise.keys(0, 3), survey=survey, method=method, steps=5)
    graphs = Graphs(Again)
    for _ in range(6):
        plain = inpainting.step(flow, plain)
        recorded = graphs.run(flow, method, lambda rows: inpainting.step(flow, rows), recorded)
    assert graphs.recorded == 1
    for one, other in zip(plain.flat(), recorded.flat(), strict=True):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())
