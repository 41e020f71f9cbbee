"""A running service over small published models, reached through its ASGI door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI

from flows import Flow, anomaly, build
from model_store import CalibrationEvidence, Publication, Report, Store, measure_bfloat16, publish
from service.api.app import create_app
from service.api.service import Service
from service.device.loop import DeviceLoop
from service.device.main import in_process
from service.settings import Settings

DIGITS, POINTS = (8, 8), (2,)
REFERENCE = 1000
"""Items that the p-values of a calibrated model rest on."""
DETECTION = {"noise": {"auroc": 0.75, "fpr_at_95_tpr": 0.5}}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def publish_small(store: Path, name: str, shape: tuple[int, ...], seed: int = 0, bfloat16: bool = False) -> Flow:
    """A NICE with random weights, wide enough that a matrix product's kernel depends on its rows."""
    image = len(shape) > 1
    arguments = {"couplings": 4, "hidden": [64, 64], "image": image}
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = build("nice", shape, arguments)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    pixels = torch.randint(0, 256, (4, *shape), generator=generator, dtype=torch.uint8)
    golden = pixels if image else torch.randn(4, *shape, generator=generator)
    publication = Publication(
        flow=flow,
        architecture="nice",
        arguments=arguments,
        golden_items=golden,
        bfloat16=measure_bfloat16(flow, golden) if bfloat16 else None,
        provenance={"seed": seed},
        report=Report(
            quality={"test": {"log_likelihood": 1.5}},
            card=f"# {name}\n",
            pictures={"samples.png": b"\x89PNG picture"},
        ),
    )
    publish(store, name, publication)
    return flow


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, `digits` (8x8 images, the default) and `points` (vectors of two)."""
    root = tmp_path_factory.mktemp("store")
    publish_small(root, "digits", DIGITS)
    publish_small(root, "points", POINTS)
    return root


def ordinary(flow: Flow, count: int, seed: int) -> np.ndarray:
    """What this flow calls ordinary: draws of its own."""
    items = flow.to_items(flow.sample(count, torch.Generator().manual_seed(seed)))
    return items.detach().numpy()


def calibrate(root: Path, name: str, shape: tuple[int, ...]) -> None:
    """Publish a version whose p-values rest on the flow's own samples."""
    flow = publish_small(root, name, shape)
    held_out = torch.from_numpy(ordinary(flow, 300 + REFERENCE, seed=1))
    found = anomaly.statistics(flow, flow.to_continuous(held_out)).detach()
    publication = Publication(
        flow=flow,
        architecture="nice",
        arguments=Store(root).manifest(name, 1).architecture.arguments,
        golden_items=held_out[:4],
        calibration=CalibrationEvidence(
            calibration=anomaly.Calibration.of(anomaly.tests_of(flow), found[:300], found[300:]),
            source="the flow's own samples",
            detection=DETECTION,
        ),
    )
    publish(root, name, publication)


@pytest.fixture(scope="session")
def calibrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits` and `points` with p-values, and `uncalibrated` images."""
    root = tmp_path_factory.mktemp("calibrated")
    calibrate(root, "digits", DIGITS)
    calibrate(root, "points", POINTS)
    publish_small(root, "uncalibrated", DIGITS)
    return root


@dataclass
class Running:
    """A service, its device in a thread of this process, and a client of it."""

    app: FastAPI
    loop: DeviceLoop
    http: httpx.AsyncClient

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    async def post_json(self, url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        answer = await self.http.post(url, headers={"accept": "application/json", **(headers or {})}, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def still_good(self) -> bool:
        """Whether the next good request is answered."""
        return (await self.http.post("/score", json={"items": [[[0] * 8] * 8]})).status_code == 200


Start = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def running(store: Path, **settings: Any) -> AsyncIterator[Running]:
    chosen = Settings(store=store, device="cpu", **settings)
    loop, device = in_process(chosen)
    app = create_app(chosen, device)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://sluice") as http,
    ):
        await device.until(lambda client: not client.catalogue.starting)
        yield Running(app, loop, http)


@pytest.fixture
def start(store: Path) -> Start:
    """Starts a service over the two models; keyword arguments are settings."""
    return lambda store=store, **settings: running(store, **settings)


@pytest.fixture
async def service(store: Path) -> AsyncIterator[Running]:
    async with running(store) as started:
        yield started


def assert_problem(answer: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    """The answer is a problem document of this status that names this field, and tells no path."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem.get("field") == field
    assert problem["error"] == problem["detail"] != ""
    assert "/tmp" not in answer.text
    assert "Traceback" not in answer.text
    return problem
