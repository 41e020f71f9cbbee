"""Sluice and its peers: how each server is started, asked and stopped."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPException
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import children
from bench.peers.shared_model import WEIGHTS_VARIABLE
from bench.serving import free_port, get, served
from bench.side_by_side import environments, payloads
from bench.side_by_side.load import Request
from bench.side_by_side.published_model import NAME, Precision, PublishedModel

_REPOSITORY = Path(__file__).parents[2]
_PATIENCE = 90.0
"""Seconds until a peer must be ready."""
_STOPPING = 10.0
"""Seconds that a peer gets to end by itself."""

MakeRequest = Callable[[NDArray[np.uint8]], Request]


@dataclass(frozen=True)
class Contender:
    """A server of the model.

    ``start`` yields the server's address once it is ready, ``ask`` makes a request of pixels (28, 28), and ``read``
    takes the log-likelihood in nats out of an answer.
    """

    name: str
    start: Callable[[], AbstractContextManager[str]]
    ask: MakeRequest
    read: Callable[[bytes], float]
    is_sluice: bool = False
    is_float32: bool = True


@dataclass(frozen=True)
class Peer:
    """What sets one peer apart.

    ``module`` of bench.peers is run with a port as its argument, in ``environment``, where ``package`` names the
    version that is compared. ``probe`` is a path that answers 2xx once the server is ready.
    """

    name: str
    environment: str
    package: str
    module: str
    ask: MakeRequest
    read: Callable[[bytes], float]
    probe: str
    environ: Mapping[str, str] = field(default_factory=dict)


class NotStarted(RuntimeError):
    """A peer ended, or did not answer in time, before it was ready."""


def sluice(model: PublishedModel, precision: Precision) -> Contender:
    """The service with its defaults, except for its precision."""

    @contextmanager
    def start() -> Iterator[str]:
        with served(model.store, drain_delay="0", precision=precision) as (_, address):
            yield address

    name = "Sluice in float32" if precision == "float32" else "Sluice"
    is_float32 = model.flow(precision) is model.model.flow
    return Contender(name, start, score_request, _first_item, is_sluice=True, is_float32=is_float32)


def sluice_tensors(model: PublishedModel, precision: Precision) -> Contender:
    """The same service, asked as Triton is: by the Open Inference Protocol, with pixels as binary tensors."""
    plain = sluice(model, precision)
    return replace(plain, name=f"{plain.name}, tensors", ask=tensor_request, read=_last_double)


def tensor_request(pixels: NDArray[np.uint8]) -> Request:
    """``POST /v2/models/{name}/infer`` of one picture or several, as Sluice takes them."""
    return payloads.tensor(f"/v2/models/{NAME}/infer", pixels, "items")


def score_request(pixels: NDArray[np.uint8], query: str = "") -> Request:
    """``POST /score`` of one PNG, as Sluice takes it."""
    return payloads.picture(f"/score?seed=0{query}", pixels)


def peer(which: Peer, model: PublishedModel) -> Contender:
    """A peer in its environment. Raises NotInstalled."""
    python = environments.python_of(which.environment)
    name = f"{which.name} {environments.version_of(which.environment, which.package)}"
    return Contender(name, partial(_running, which, python, model.weights), which.ask, which.read)


@contextmanager
def _running(which: Peer, python: Path, weights: Path) -> Iterator[str]:
    port = free_port()
    # The peer finds Sluice's flows in the repository, and everything else in its own environment.
    environment = os.environ | {"PYTHONPATH": str(_REPOSITORY), WEIGHTS_VARIABLE: str(weights)} | dict(which.environ)
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    process = children.start([python, "-m", f"bench.peers.{which.module}", str(port)], environment=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(process, address, which.probe)
        yield address
    finally:
        children.stop(process, _STOPPING)


def _wait(process: subprocess.Popen[bytes], address: str, probe: str) -> None:
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise NotStarted(f"it ended with exit code {process.returncode}")
        try:
            status, _ = get(address, probe)
            if 200 <= status < 300:
                return
        except (OSError, HTTPException):
            pass
        time.sleep(0.1)
    raise NotStarted(f"it was not ready within {_PATIENCE:.0f} s")


def _first_item(body: bytes) -> float:
    return float(json.loads(body)["items"][0]["log_likelihood"])


def _field(body: bytes) -> float:
    return float(json.loads(body)["log_likelihood"])


def _list_of_one(body: bytes) -> float:
    return float(json.loads(body)[0])


def _last_double(body: bytes) -> float:
    return float(np.frombuffer(body[-8:], dtype="<f8")[0])


def _last_float(body: bytes) -> float:
    return float(np.frombuffer(body[-4:], dtype="<f4")[0])


PEERS = (
    Peer(
        "plain FastAPI", "fastapi", "fastapi", "fastapi_plain", partial(payloads.picture, "/score"), _field, "/health"
    ),
    Peer("LitServe", "litserve", "litserve", "litserve_app", partial(payloads.picture, "/predict"), _field, "/health"),
    Peer(
        "BentoML",
        "bentoml",
        "bentoml",
        "bentoml_service",
        partial(payloads.form, "/score"),
        _list_of_one,
        "/readyz",
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer(
        "Ray Serve",
        "ray",
        "ray",
        "ray_app",
        partial(payloads.picture, "/"),
        _field,
        "/",
        {"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Peer(
        "Triton (PyTriton)",
        "triton",
        "nvidia-pytriton",
        "triton_app",
        partial(payloads.tensor, "/v2/models/nice/infer"),
        _last_float,
        "/v2/models/nice/ready",
    ),
)
