"""On a GPU no program waits for the device within a tick; the copy of its answers, which is the runner's, does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from flows import anomaly
from flows.inpainting import METHODS, survey_of
from service.device.columns import Columns
from service.device.program import OneTick
from service.device.programs import Decode, Encode, Inpaint, Sample, Score
from tests.flows.cases import FLOWS
from tests.kernels import GPU, Kernels, fake_gpu, on_fake_gpu

ROWS = 3


def model_on_fake_gpu(name: str) -> Any:
    flow = FLOWS[name].make().requires_grad_(False)
    drawn = torch.zeros(20, *flow.item_shape, dtype=torch.uint8 if flow.is_image else torch.float32)
    flow = on_fake_gpu(flow)
    survey = survey_of(flow, on_fake_gpu(drawn))
    return SimpleNamespace(flow=flow, serving=flow, calibration=None, survey=survey, reference="fake@1")


def columns_of(flow: Any) -> Columns:
    items = torch.zeros(ROWS, *flow.item_shape, dtype=torch.uint8 if flow.is_image else torch.float32, device=GPU)
    whole, real = torch.ones(ROWS, dtype=torch.int64, device=GPU), torch.ones(ROWS, device=GPU)
    return Columns(
        {
            "items": items,
            "latents": torch.zeros(ROWS, *flow.prior.shape, device=GPU),
            "hidden": items > 0,
            "key": whole,
            "seed": whole,
            "steps": whole,
            "step_size": real,
            "temperature": real,
        }
    )


@pytest.mark.parametrize("name", ["nice-image", "spline-vector"])
@pytest.mark.parametrize("program", [Sample, Score, Encode, Decode])
def test_no_program_of_one_tick_waits(name: str, program: type[OneTick]) -> None:
    with fake_gpu(), torch.no_grad():
        model = model_on_fake_gpu(name)
        with Kernels(GPU.type) as kernels:
            found = program(model).compute(columns_of(model.flow))
    assert {tensor.device for tensor in found.flat()} == {GPU}
    assert not kernels.waits


@pytest.mark.parametrize("name", ["nice-image", "spline-vector"])
def test_a_verdict_does_not_wait(name: str) -> None:
    flow = FLOWS[name].make().requires_grad_(False)
    columns = len(anomaly.names_of(flow))
    tables = torch.randn(2, 60, columns, generator=torch.Generator().manual_seed(0)).double()
    calibration = anomaly.Calibration.of(anomaly.tests_of(flow), *tables)
    with fake_gpu(), torch.no_grad():
        model = model_on_fake_gpu(name)
        model.calibration = on_fake_gpu(calibration)
        program, rows = Score(model), columns_of(model.flow)
        program.compute(rows)  # constants are brought to the device once
        with Kernels(GPU.type) as kernels:
            found = program.compute(rows)
    assert {tensor.device for tensor in found.flat()} == {GPU}
    assert found["p_value"].shape == (ROWS,)
    assert not kernels.waits


@pytest.mark.parametrize("name", ["nice-image", "spline-vector"])
@pytest.mark.parametrize("method", METHODS)
def test_no_tick_of_an_inpainting_waits(name: str, method: str) -> None:
    with fake_gpu():
        model = model_on_fake_gpu(name)
        program, columns = Inpaint(model, method), columns_of(model.flow)
        with Kernels(GPU.type) as kernels:
            rows = program.step(program.start(columns))
            found = [*rows.flat(), program.done(rows), *program.view(rows).flat(), *program.result(rows).flat()]
    assert {tensor.device for tensor in found} == {GPU}
    assert not kernels.waits
