"""Memory that does not suffice: in a tick, at load, in decoding. What does not fit fails alone, with 503."""

from __future__ import annotations

import ast
import asyncio
import random
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import python_multipart
import torch
from PIL import Image

from model_store import Store
from service import keys
from service.device.runner import Runner
from tests.reliability.asks import SAMPLE, SCORE, large_array
from tests.reliability.figures import Proof
from tests.reliability.load import load
from tests.reliability.markers import LONG, share_of
from tests.reliability.probing import memory
from tests.service.helpers import (
    DIGITS,
    NPY,
    Running,
    Start,
    assert_problem,
    images,
    npy,
    picture,
    publish_small,
    running,
)
from tests.service.servers import serving

SHORTAGES: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory"),
    lambda: MemoryError("Unable to allocate 2.00 GiB for an array"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("shortage", SHORTAGES)
async def test_a_tick_without_memory_is_halved_and_every_request_gets_its_answer(
    start: Start, shortage: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    items = images(24)
    moments, original = random.Random(0), Runner.exactly

    def exactly(self: Runner, program: Any, columns: Any) -> Any:
        if len(columns) > 8 or moments.random() < 0.1:
            proof.injected()
            raise shortage()
        return original(self, program, columns)

    async with start() as service:

        async def ask(place: int) -> bytes:
            return (await service.http.post("/score", content=npy(items[place : place + 3]), headers=NPY)).content

        alone = [await ask(place) for place in range(21)]
        monkeypatch.setattr(Runner, "exactly", exactly)
        together = await asyncio.gather(*(ask(place) for place in range(21)))
        monkeypatch.setattr(Runner, "exactly", original)
        for place, (one, other) in enumerate(zip(alone, together, strict=True)):
            proof.expect(one == other or b"not enough memory for a single item" in other, f"{place}: {other!r}")
        proof.expect(await service.metric("sluice_out_of_memory_total") > 0, "no shortage was counted")
        proof.expect(service.waiting == service.jobs == 0, "something is left")
        proof.expect([await ask(place) for place in range(21)] == alone, "answers changed for good")
    proof.hold()


@pytest.mark.anyio
@pytest.mark.parametrize("shortage", SHORTAGES)
async def test_a_version_that_does_not_fit_is_refused_and_the_old_one_serves(
    tmp_path: Path, shortage: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    token = "a token of the administrator, long enough"
    (tmp_path / "token").write_text(token)
    publish_small(tmp_path / "store", "digits", DIGITS)

    def fail(*_: object, **__: object) -> None:
        raise shortage()

    async with running(tmp_path / "store", admin_token_file=tmp_path / "token") as service:
        publish_small(tmp_path / "store", "digits", DIGITS, seed=1)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "load", fail)
            url, headers = "/v2/repository/models/digits/load", {"authorization": f"Bearer {token}"}
            problem = assert_problem(await service.http.post(url, headers=headers), 422, "name")
            proof.injected()
        assert "digits@2 is refused" in problem["detail"]
        assert (await service.http.post("/sample")).headers["x-sluice-model"] == "digits@1"
        assert (await service.http.post(url, headers=headers)).json() == {"model": "digits@2"}


@pytest.mark.anyio
async def test_a_body_for_which_there_is_no_memory_is_503_and_not_the_clients_fault(
    service: Running, monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    def fail(*_: object, **__: object) -> None:
        proof.injected()
        raise MemoryError

    item = images(1)
    bodies: dict[str, tuple[Any, str, dict[str, Any]]] = {
        "png": (Image.Image, "load", {"content": picture(item[0]), "headers": {"content-type": "image/png"}}),
        "png, opened": (Image, "open", {"content": picture(item[0]), "headers": {"content-type": "image/png"}}),
        "npy, its header": (ast, "literal_eval", {"content": npy(item), "headers": NPY}),
        "npy": (np, "frombuffer", {"content": npy(item), "headers": NPY}),
        "multipart": (python_multipart, "create_form_parser", {"files": {"files": ("a.png", picture(item[0]))}}),
    }
    for name, (owner, function, options) in bodies.items():
        with monkeypatch.context() as patch:
            patch.setattr(owner, function, fail)
            answer = await service.http.post("/score", **options)
        proof.expect(answer.status_code == 503, f"{name}: {answer.status_code} {answer.text}")
        proof.expect("retry-after" in answer.headers, f"{name}: no Retry-After")
        proof.expect((await service.http.post("/score", **options)).status_code == 200, f"{name}: no recovery")
    proof.expect(proof.faults == len(bodies), "every fault was met")
    proof.hold()


@pytest.mark.anyio
async def test_bodies_are_decoded_where_no_thread_can_be_started(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    """A thread needs memory for its stack. Those that decode are there from the start."""
    shown = keys.create(tmp_path / "keys.json", "somebody", ["infer"])
    small, large = npy(images(300)), large_array(10_000)
    binary = NPY | {"accept": "application/x-npy"}

    def fail(_: threading.Thread) -> None:
        proof.injected()
        raise RuntimeError("can't start new thread")

    async with start() as service, start(keys_file=tmp_path / "keys.json") as guarded:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            for body in (small, large) * 3:
                assert (await service.http.post("/encode", content=body, headers=binary)).status_code == 200
            assert proof.faults == 0
            headers = NPY | {"x-api-key": shown}
            answer = await guarded.http.post("/score", content=small, headers=headers)  # a key is checked by a thread
            assert_problem(answer, 503)
            assert answer.headers["retry-after"]
            assert proof.faults == 1
        assert (await guarded.http.post("/score", content=small, headers=headers)).status_code == 200


@contextmanager
def short_of_memory(pid: int, room: int) -> Iterator[None]:
    """A process that gets only so many bytes more than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (memory(pid, "VmSize") + room, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


@LONG
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of another process is bounded on Linux")
@pytest.mark.parametrize("module", ["service.api", "service.device"])
def test_processes_that_are_short_of_memory_go_on(store: Path, tmp_path: Path, module: str, proof: Proof) -> None:
    body = large_array(5_000)
    statuses: list[int] = []
    with serving(store, tmp_path / "log", api_processes=1) as server:
        children = server.children(module)
        (pid,) = children

        def large() -> None:
            try:
                answer = server.post("/encode", content=body, headers=NPY | {"accept": "application/x-npy"})
            except httpx.TransportError as error:
                proof.expect(False, f"a large request: {error!r}")
                return
            statuses.append(answer.status_code)
            proof.expect(answer.status_code != 503 or "retry-after" in answer.headers, "503 without Retry-After")
            proof.expect(answer.status_code in {200, 503}, f"a large request: {answer.status_code} {answer.text[:200]}")

        for round_ in range(share_of(6)):
            with (
                short_of_memory(pid, room=2 ** (14 + 2 * (round_ % 5))),
                load(server, [SCORE, SAMPLE], clients=4) as small,
            ):
                threads = [threading.Thread(target=large) for _ in range(6)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                proof.injected()
                answers = small.stop()
            for one in answers.surprises:
                proof.expect(one.status == 503, str(one))
            proof.expect(server.children(module) == children, "the process died")
            proof.expect(server.post("/encode", content=body, headers=NPY).status_code == 200, "no recovery")
    proof.expect("Fatal error on transport" not in (tmp_path / "log").read_text(), "a connection was closed")
    proof.measured["large requests answered 503"] = f"{statuses.count(503)} of {len(statuses)}"
    proof.hold()
