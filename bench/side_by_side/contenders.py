"""Sluice and its peers: how each is started, asked and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from bench.peers.model import WEIGHTS_VARIABLE
from bench.serving import served
from bench.side_by_side import environments
from bench.side_by_side.load import Request
from bench.side_by_side.model import Precision, Prepared, png

_REPOSITORY = Path(__file__).parents[2]
_PATIENCE = 90.0
"""Seconds until a peer must answer, and until it must have ended."""

Asks = Callable[[NDArray[np.uint8]], Request]


@dataclass(frozen=True)
class Contender:
    """A server of the model. ``ask`` makes a request of pixels (28, 28), ``read`` takes the nats out of an answer."""

    name: str
    start: Callable[[], AbstractContextManager[str]]
    """Yields the address once the server answers."""
    ask: Asks
    read: Callable[[bytes], float]
    is_sluice: bool = False
    is_float32: bool = True


@dataclass(frozen=True)
class Peer:
    """What is particular about a peer; ``module`` of bench.peers is run with a port as its argument."""

    name: str
    environment: str
    package: str
    module: str
    ask: Asks
    read: Callable[[bytes], float]
    probe: str
    """A path that answers 200 once the server is ready."""
    environ: Mapping[str, str] = field(default_factory=dict)


class NotStarted(RuntimeError):
    """A peer ended or fell silent before it was ready."""


def sluice(model: Prepared, precision: Precision) -> Contender:
    """The service with its defaults, save for its precision."""

    @contextmanager
    def start() -> Iterator[str]:
        with served(model.store, drain_delay="0", precision=precision) as (_, address):
            yield address

    name = "Sluice in float32" if precision == "float32" else "Sluice"
    is_float32 = model.flow(precision) is model.model.flow
    ask = partial(_picture, "/score?seed=0")
    return Contender(name, start, ask, _first_item, is_sluice=True, is_float32=is_float32)


def peer(which: Peer, model: Prepared) -> Contender:
    """Raises NotInstalled."""
    python = environments.python_of(which.environment)
    name = f"{which.name} {environments.version_of(which.environment, which.package)}"
    return Contender(name, partial(_running, which, python, model.weights), which.ask, which.read)


@contextmanager
def _running(which: Peer, python: Path, weights: Path) -> Iterator[str]:
    port = _free_port()
    # The peer finds Sluice's flows in the repository, and what it needs itself in its environment.
    environment = os.environ | {"PYTHONPATH": str(_REPOSITORY), WEIGHTS_VARIABLE: str(weights)} | dict(which.environ)
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(
        [python, "-m", f"bench.peers.{which.module}", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(process, address + which.probe)
        yield address
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], probe: str) -> None:
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise NotStarted(f"it ended with exit code {process.returncode}")
        try:
            if httpx.get(probe, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise NotStarted(f"it was not ready within {_PATIENCE:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the leader first, who may have children in sessions of their own; then take what is left of the group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_PATIENCE)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _picture(path: str, pixels: NDArray[np.uint8]) -> Request:
    return Request(path, png(pixels), {"Content-Type": "image/png"})


def _form(path: str, pixels: NDArray[np.uint8]) -> Request:
    """The picture as the one file of a form."""
    boundary = "a-boundary-that-no-picture-holds"
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="pictures"; filename="digit.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + png(pixels) + f"\r\n--{boundary}--\r\n".encode()
    return Request(path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def _tensor(path: str, pixels: NDArray[np.uint8]) -> Request:
    """The Open Inference Protocol with binary tensors: a JSON head, its length told in a header, and the bytes."""
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "pixels",
                    "shape": [1, *pixels.shape],
                    "datatype": "UINT8",
                    "parameters": {"binary_data_size": pixels.nbytes},
                }
            ],
            "outputs": [{"name": "log_likelihood", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Request(path, head + pixels.tobytes(), headers)


def _first_item(body: bytes) -> float:
    return float(json.loads(body)["items"][0]["log_likelihood"])


def _field(body: bytes) -> float:
    return float(json.loads(body)["log_likelihood"])


def _list_of_one(body: bytes) -> float:
    return float(json.loads(body)[0])


def _last_float(body: bytes) -> float:
    return float(np.frombuffer(body[-4:], dtype="<f4")[0])


PEERS = (
    Peer("plain FastAPI", "fastapi", "fastapi", "fastapi_plain", partial(_picture, "/score"), _field, "/health"),
    Peer("LitServe", "litserve", "litserve", "litserve_app", partial(_picture, "/predict"), _field, "/health"),
    Peer(
        "BentoML",
        "bentoml",
        "bentoml",
        "bentoml_service",
        partial(_form, "/score"),
        _list_of_one,
        "/readyz",
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer(
        "Ray Serve",
        "ray",
        "ray",
        "ray_app",
        partial(_picture, "/"),
        _field,
        "/",
        {"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Peer(
        "Triton (PyTriton)",
        "triton",
        "nvidia-pytriton",
        "triton_app",
        partial(_tensor, "/v2/models/nice/infer"),
        _last_float,
        "/v2/models/nice/ready",
    ),
)
