"""What tests of the service share: small published models, a running service, bodies to send, checks of answers."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from flows import Flow, anomaly, build
from model_store import (
    CalibrationEvidence,
    LoadedModel,
    MapEvidence,
    Publication,
    Report,
    Store,
    measure_bfloat16,
    publish,
)
from service.api.app import create_app
from service.api.service import Service
from service.device.loop import DeviceLoop
from service.device.main import in_process
from service.protocol.client import DeviceClient
from service.settings import Settings

DIGITS, POINTS = (8, 8), (2,)
REFERENCE = 1000
"""Items that the p-values of a calibrated model rest on."""
DETECTION = {"noise": {"auroc": 0.75, "fpr_at_95_tpr": 0.5}}

NPY = {"content-type": "application/x-npy"}
JSON = {"content-type": "application/json"}
EVENTS = {"accept": "text/event-stream"}
HALF = np.zeros((8, 8), np.uint8)
"""A mask that hides the right half of an image."""
HALF[:, 4:] = 255


# Models.


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


def ordinary(flow: Flow, count: int, seed: int) -> np.ndarray:
    """Draws of the flow itself, which are ordinary by definition."""
    items = flow.to_items(flow.sample(count, torch.Generator().manual_seed(seed)))
    return items.detach().numpy()


def publish_calibrated(root: Path, name: str, shape: tuple[int, ...]) -> None:
    """Publish a second version whose p-values, and maps of images, rest on the flow's own samples."""
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
        map=map_of(flow, held_out) if flow.is_image else None,
    )
    publish(root, name, publication)


def map_of(flow: Flow, held_out: torch.Tensor) -> MapEvidence:
    """Maps whose p-values rest on all held-out items but 300."""
    pixels = anomaly.pixel_nats(flow, flow.to_continuous(held_out)).detach()
    recipe = anomaly.Recipe(aligned=True, absolute=False, relative=False)
    calibration = anomaly.MapCalibration.of(recipe, pixels[:300], pixels[300:])
    return MapEvidence(calibration=calibration, source="the flow's own samples", fit=300)


# A running service.


@dataclass
class Running:
    """A service, its device in a thread of this process, and an HTTP client of it."""

    app: FastAPI
    loop: DeviceLoop
    device: DeviceClient
    http: httpx.AsyncClient

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    @property
    def waiting(self) -> int:
        """Item-ticks that requests have reserved or that wait in the device."""
        return self.device.queue.reserved + self.loop.account.waiting

    @property
    def jobs(self) -> int:
        """Jobs in the device that are not done."""
        return self.loop.account.jobs

    def model(self, name: str) -> LoadedModel:
        """The version of a name that serves."""
        return next(model for model in self.loop.models.registry.models if model.name == name)

    async def post_json(self, url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        answer = await self.http.post(url, headers={"accept": "application/json", **(headers or {})}, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def still_good(self) -> bool:
        """Whether the next good request is answered."""
        return (await self.http.post("/score", json={"items": [[[0] * 8] * 8]})).status_code == 200

    async def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics; 0 where there is none."""
        return sample_of((await self.http.get("/metrics")).text, name, **labels)


class RunningElsewhere(Running):
    """A service at a URL. A test that looks into the process of a service is skipped when it does."""

    looked_for: str | None = None
    """What the present test looked for in the process."""

    def __init__(self, http: httpx.AsyncClient, store: Path | str) -> None:
        self.http, self._store = http, store

    def __getattr__(self, name: str) -> Any:
        RunningElsewhere.looked_for = name
        pytest.skip(f"looks into the process of the service: {name}")

    @property
    def service(self) -> Service:
        service: Service = self.__getattr__("service")
        return service

    @property
    def waiting(self) -> int:
        """As its devices tell: 0 as soon as they tell that within a second."""
        return self._settled("sluice_queue_item_ticks")

    @property
    def jobs(self) -> int:
        return self._settled("sluice_queue_jobs")

    def model(self, name: str) -> LoadedModel:
        """The version of a name that the store serves now, loaded here."""
        store = Store(Path(self._store))
        return store.load(*store.resolve(name))

    def _settled(self, name: str) -> int:
        end = time.monotonic() + 1.0
        while value := int(self._sum(httpx.get(f"{self.http.base_url}/metrics", timeout=60).text, name, {})):
            if time.monotonic() > end:
                break
        return value

    async def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics, added up over all replicas; 0 where there is none."""
        return self._sum((await self.http.get("/metrics")).text, name, labels)

    def _sum(self, exposition: str, name: str, labels: dict[str, str]) -> float:
        return sum(
            sample.value
            for family in text_string_to_metric_families(exposition)
            for sample in family.samples
            if sample.name == name and {**sample.labels, "replica": ""} == {**labels, "replica": ""}
        )


elsewhere: Callable[[Settings], AbstractAsyncContextManager[str]] | None = None
"""Serves with some settings and gives a base URL, where tests shall not run a service in this process."""

Start = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def running(store: Path | str, *, loaded: bool = True, **settings: Any) -> AsyncIterator[Running]:
    """A service over a store, once every model of it is ``loaded``; ``settings`` are fields of Settings."""
    chosen = Settings(store=store, device="cpu", **settings)
    if elsewhere is not None:
        async with elsewhere(chosen) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
            yield RunningElsewhere(http, store)
        return
    loop, device = in_process(chosen)
    app = create_app(chosen, device)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://sluice") as http,
    ):
        if loaded:
            await device.until(lambda client: not client.catalogue.starting)
        yield Running(app, loop, device, http)


Message = dict[str, Any]


async def at_the_door(
    service: Running,
    request: httpx.Request,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """One POST request at the ASGI door: the test decides when the client sends, reads and leaves."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "root_path": "",
    }
    await service.app(scope, receive, send)  # type: ignore[arg-type]


async def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until a condition holds; TimeoutError when it does not within some seconds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


# Bodies to send.


def npy(array: Any, **options: Any) -> bytes:
    """An array as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npy_claiming(shape: str, dtype: str = "|u1", data: bytes = b"", version: int = 1) -> bytes:
    """An npy file whose header claims a shape, written as Python."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    width = 2 if version == 1 else 4
    text = text.ljust(-(-(len(text) + 8 + width + 1) // 64) * 64 - 8 - width - 1) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little") + text + data


def picture(pixels: np.ndarray, form: str = "PNG") -> bytes:
    """Pixels as a PNG or JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def images(count: int, seed: int = 0) -> np.ndarray:
    """Images (count, 8, 8) of independent random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)


def multipart(image: np.ndarray, mask: np.ndarray | None = HALF) -> dict[str, Any]:
    """The options of an HTTP client for an inpainting."""
    files = {"image": ("image.png", picture(image), "image/png")}
    if mask is not None:
        files["mask"] = ("mask.png", picture(mask), "image/png")
    return {"files": files}


# Checks of answers.


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


def assert_alike(found: Any, expected: Any) -> None:
    """Equal but for the last bits that a matrix product's kernel, chosen by the size of the batch, may change."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_alike(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=2e-3 if 0 < expected <= 1 else 1e-5)
    else:
        assert found == expected


def events_in(text: str) -> list[tuple[str, Any]]:
    """Names and data of server-sent events."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def sample_of(exposition: str, name: str, **labels: str) -> float:
    """A sample in Prometheus' text format; 0 where there is none with these labels."""
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return 0.0
