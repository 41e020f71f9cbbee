"""No pass of a flow waits for the device, and each launches few kernels.

The flows are on a fake GPU: tensors on two devices cannot meet, and no value can be looked at. Kernels are counted as
operators (see ``tests.kernels``); on a GPU each costs about 6 microseconds, however few rows there are.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

import flows
from flows import Flow, anomaly, inpainting, noise
from flows.inpainting import METHODS, Climb, Survey
from tests.flows.cases import FLOWS
from tests.kernels import GPU, Kernels, fake_gpu, on_fake_gpu

EACH = [
    "nice-zca",
    "nice-approximate",
    "nice-table",
    "lattice-image",
    "lattice-joint-colour",
    "realnvp-image",
    "realnvp-vector",
    "glow-colour",
    "spline-vector",
]
"""An image flow and a vector flow of each architecture that has them."""
ROWS = 3

SHIPPED: dict[str, Callable[[], Flow]] = {
    "mnist": lambda: flows.build("lattice", (28, 28), {"width": 4, "blocks": 3, "components": 8}),
    "mnist-nice": lambda: flows.build("nice", (28, 28), {"hidden": [4, 4], "couplings": 8}),
    "moons": lambda: flows.build("spline", (2,), {"hidden": [4, 4], "couplings": 6, "bins": 8}),
    "moons-realnvp": lambda: flows.build("realnvp", (2,), {"hidden": [4, 4], "couplings": 12, "image": False}),
}
"""The architectures of shipped models. The width of a net does not change the number of kernels, so it is small."""
BUDGETS = {
    "mnist": {"score": 734, "statistics": 794, "encode": 688, "sample": 2484, "ascent": 1272, "langevin": 3647},
    "mnist-nice": {"score": 141, "statistics": 229, "encode": 123, "sample": 134, "ascent": 277, "langevin": 357},
    "moons": {"score": 704, "statistics": 716, "encode": 698, "sample": 817, "ascent": 2005, "langevin": 2073},
    "moons-realnvp": {"score": 308, "statistics": 320, "encode": 302, "sample": 395, "ascent": 637, "langevin": 705},
}
"""What was measured: more is a decision, and fewer lower the budget. An
ascent adds a backward pass and Adam's moments. A lattice draws 20 groups one after another, at about 120 each."""


def items_of(flow: Flow) -> Tensor:
    return torch.zeros(ROWS, *flow.item_shape, dtype=torch.uint8 if flow.is_image else torch.float32, device=GPU)


def score(flow: Flow) -> Tensor:
    return flow.log_prob(flow.to_continuous(items_of(flow), torch.zeros(ROWS, dtype=torch.int64, device=GPU)))


def statistics(flow: Flow) -> Tensor:
    return anomaly.statistics(flow, flow.to_continuous(items_of(flow)))


def encode(flow: Flow) -> Tensor:
    return flow.encode(flow.to_continuous(items_of(flow)))[0]


def sample(flow: Flow) -> Tensor:
    uniform = noise.uniform(noise.keys(0, ROWS, GPU), flow.prior.shape)
    return flow.to_items(flow.decode(flow.prior.quantile(uniform).to(flow.dtype))[0])


def begin(flow: Flow, survey: Survey, method: str) -> Climb:
    x, one = flow.to_continuous(items_of(flow)), torch.ones(ROWS, device=GPU)
    steps, keys = torch.full((ROWS,), 50, device=GPU), noise.keys(0, ROWS, GPU)
    return inpainting.start(
        flow, x, x > 0, keys, survey=survey, method=method, steps=steps, step_size=one, temperature=one
    )


def survey_of(flow: Flow) -> Survey:
    drawn = torch.zeros(20, *flow.item_shape, dtype=torch.uint8 if flow.is_image else torch.float32)
    return inpainting.survey_of(flow, on_fake_gpu(drawn))


PASSES: dict[str, Callable[[Flow], Tensor]] = {
    "score": score,
    "statistics": statistics,
    "encode": encode,
    "sample": sample,
}


@pytest.fixture(scope="module", autouse=True)
def _constants() -> None:
    """Constants go to a device once, before anything is counted."""
    flow = flows.build("lattice", (4, 4), {"width": 4, "blocks": 1, "components": 1}).requires_grad_(False)
    with fake_gpu():
        flow = on_fake_gpu(flow)
        statistics(flow)
        inpainting.step(flow, begin(flow, survey_of(flow), "langevin"))


@pytest.mark.parametrize("name", EACH)
def test_no_pass_waits_for_the_device(name: str) -> None:
    flow = FLOWS[name].make().requires_grad_(False)
    with fake_gpu(), torch.no_grad():
        flow = on_fake_gpu(flow)
        for kind, work in PASSES.items():
            with Kernels(GPU.type) as kernels:
                assert work(flow).device == GPU
            assert not kernels.waits, kind


@pytest.mark.parametrize("recipe", anomaly.RECIPES)
def test_no_map_waits_for_the_device(recipe: anomaly.Recipe) -> None:
    pixels = torch.randn(40, 2, 4, 4)
    flow = flows.build("lattice", (4, 4), {"width": 4, "blocks": 1, "components": 1}).requires_grad_(False)
    calibration = anomaly.MapCalibration.of(recipe, pixels[:20], pixels[20:])
    with fake_gpu(), torch.no_grad():
        flow, calibration = on_fake_gpu(flow), on_fake_gpu(calibration)
        with Kernels(GPU.type) as kernels:
            found = calibration.judge(anomaly.pixel_nats(flow, flow.to_continuous(items_of(flow))))
        assert found.rarity.device == found.p_value.device == GPU
        assert not kernels.waits


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *product(("nice-table", "glow-colour", "spline-vector"), METHODS),
        ("lattice-image", "ascent"),
        ("lattice-image", "langevin"),
        ("lattice-image", "latent"),
        ("realnvp-image", "ascent"),
    ],
)
def test_no_step_of_an_inpainting_waits_for_the_device(name: str, method: str) -> None:
    flow = FLOWS[name].make().requires_grad_(False)
    with fake_gpu():
        flow = on_fake_gpu(flow)
        survey = survey_of(flow)
        with Kernels(GPU.type) as kernels:
            climb = begin(flow, survey, method)
            climb = inpainting.step(flow, climb)
        assert {tensor.device for tensor in climb.flat()} == {GPU}
        assert not kernels.waits


@pytest.mark.parametrize("name", SHIPPED)
def test_passes_stay_within_their_budgets_of_kernels(name: str) -> None:
    flow, found = SHIPPED[name]().requires_grad_(False), {}
    with fake_gpu():
        flow = on_fake_gpu(flow)
        for kind, work in PASSES.items():
            with torch.no_grad():
                work(flow)  # constants of this size go to the device once
                with Kernels(GPU.type) as kernels:
                    work(flow)
            found[kind] = kernels.launches
        for method in ("ascent", "langevin"):
            climb = begin(flow, survey_of(flow), method)
            with Kernels(GPU.type) as kernels:
                inpainting.step(flow, climb)
            found[method] = kernels.launches
    over = {kind: (launches, BUDGETS[name][kind]) for kind, launches in found.items() if launches > BUDGETS[name][kind]}
    assert not over, "launched, and allowed"


def test_waits_are_found_with_the_line_that_waits() -> None:
    with fake_gpu():
        values, listed = torch.zeros(4, device=GPU), torch.ones(4)
        with Kernels(GPU.type) as kernels:
            values + listed.to(GPU)
            values.cpu()
            values.to(GPU, torch.float64, non_blocking=True)
    assert [wait.partition(":")[0] for wait in kernels.waits] == ["_to_copy at tests/flows/test_kernels.py"] * 2
    with Kernels() as kernels:
        values = torch.tensor([1.0, 0.0])
        bool(values.any())
        values[values > 0]
        values.nonzero()
        torch.bincount(values.long())
    assert [wait.partition(" ")[0] for wait in kernels.waits] == [
        "_local_scalar_dense",
        "index",
        "nonzero",
        "bincount",
    ]
