"""Malformed requests under /v2: each is refused with a JSON `error`, and the service lives after each."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service.api.routes.v2.requests import Request, binary, digits, infer, request, tensor
from tests.service.helpers import Running, images, running

pytestmark = pytest.mark.anyio
LENGTH = "Inference-Header-Content-Length"
PIXELS = images(1).tobytes()


@pytest.fixture(scope="module")
async def service(store: Path) -> AsyncIterator[Running]:
    async with running(store, max_items=300, max_body_bytes=2**20) as started:
        yield started


def claiming(**claims: Any) -> Request:
    """One image as binary data, whose description claims something else."""
    described = {"name": "items", "shape": [1, 8, 8], "datatype": "UINT8", "parameters": {"binary_data_size": 64}}
    return request((described | claims, PIXELS))


def listing(data: Any, shape: list[Any] | None = None, datatype: str = "UINT8", **more: Any) -> dict[str, Any]:
    """One image in JSON."""
    return {"inputs": [tensor("items", [1, 8, 8] if shape is None else shape, datatype, data=data, **more)]}


def raw(body: bytes, **headers: str) -> Request:
    return Request(body, {name.replace("_", "-"): value for name, value in headers.items()})


def with_length(length: str) -> Request:
    return Request(digits(1).body, {LENGTH: length})


ZEROS = [0] * 64
TWICE = request(*[binary("items", images(1), "UINT8")] * 2)
MALFORMED: dict[str, tuple[str, Request | dict[str, Any]]] = {
    "no body": ("digits", raw(b"")),
    "no JSON": ("digits", raw(b"{inputs")),
    "not UTF-8": ("digits", raw(b'{"id": "\xff"}')),
    "a list": ("digits", raw(b"[]")),
    "very deep": ("digits", raw(b'{"parameters": {"a":' + b"[" * 100_000)),
    "inputs that are no list": ("digits", {"inputs": {"items": ZEROS}}),
    "an input that is no object": ("digits", {"inputs": ["items"]}),
    "no inputs": ("digits", {"inputs": []}),
    "an input without a name": ("digits", {"inputs": [{"shape": [1], "datatype": "UINT8", "data": [0]}]}),
    "an input without a shape": ("digits", {"inputs": [{"name": "items", "datatype": "UINT8", "data": ZEROS}]}),
    "an input without a datatype": ("digits", {"inputs": [{"name": "items", "shape": [1, 8, 8], "data": ZEROS}]}),
    "an input without data": ("digits", {"inputs": [tensor("items", [1, 8, 8], "UINT8")]}),
    "an input of another name": ("digits", {"inputs": [tensor("pixels", [1, 8, 8], "UINT8", data=ZEROS)]}),
    "an input twice": ("digits", TWICE),
    "both kinds of data": (
        "digits",
        request((tensor("items", [1, 8, 8], "UINT8", data=ZEROS, parameters={"binary_data_size": 64}), PIXELS)),
    ),
    "an id that is a number": ("digits", digits(1, id=7)),
    "an id without end": ("digits", digits(1, id="x" * 5000)),
    "parameters that are a list": ("digits", digits(1, parameters=[1])),
    "a header length beyond the body": ("digits", with_length("1000000")),
    "a header length of 0": ("digits", with_length("0")),
    "a negative header length": ("digits", with_length("-1")),
    "a header length of words": ("digits", with_length("many")),
    "a header length of 5000 digits": ("digits", with_length("9" * 5000)),
    "a header length within the head": ("digits", with_length("20")),
    "bytes that nobody claims": ("digits", Request(digits(1).body + b"more", digits(1).headers)),
    "bytes that are missing": ("digits", Request(digits(1).body[:-1], digits(1).headers)),
    "a size that lies": ("digits", claiming(parameters={"binary_data_size": 63})),
    "a size beyond the body": ("digits", claiming(parameters={"binary_data_size": 2**62})),
    "a negative size": ("digits", claiming(parameters={"binary_data_size": -64})),
    "a size of words": ("digits", claiming(parameters={"binary_data_size": "64"})),
    "a size that is true": ("digits", claiming(parameters={"binary_data_size": True})),
    "a negative extent": ("digits", claiming(shape=[-1, 8, 8])),
    "an extent of words": ("digits", claiming(shape=["1", 8, 8])),
    "an extent with a fraction": ("digits", claiming(shape=[1.5, 8, 8])),
    "a shape that overflows": ("digits", claiming(shape=[2**33, 2**33, 2**33])),
    "an extent beyond 64 bits": ("digits", claiming(shape=[2**70, 8, 8])),
    "a thousand dimensions": ("digits", claiming(shape=[1] * 1000)),
    "no dimension": ("digits", claiming(shape=[])),
    "no item": ("digits", claiming(shape=[0, 8, 8], parameters={"binary_data_size": 0})),
    "another shape": ("digits", claiming(shape=[1, 64])),
    "more items than there are bytes": ("digits", claiming(shape=[100, 8, 8])),
    "more items than are taken": ("digits", claiming(shape=[10**9, 8, 8])),
    "a datatype that is wider": ("digits", claiming(datatype="FP32")),
    "a datatype that nobody knows": ("digits", claiming(datatype="UINT9")),
    "a datatype in lower case": ("digits", claiming(datatype="uint8")),
    "truth for levels": ("digits", claiming(datatype="BOOL")),
    "bytes that are no pictures": ("digits", claiming(datatype="BYTES", shape=[1])),
    "elements that claim too much": (
        "digits",
        request((tensor("items", [1], "BYTES", parameters={"binary_data_size": 4}), b"\xff" * 4)),
    ),
    "levels beyond 255": ("digits", listing([256] * 64)),
    "levels below 0": ("digits", listing([-1] * 64, datatype="INT64")),
    "levels with a fraction": ("digits", listing([0.5] * 64)),
    "numbers as text": ("digits", listing(["0"] * 64)),
    "text for BYTES that is a number": ("digits", listing([1], [1], "BYTES")),
    "too few values": ("digits", listing(ZEROS[1:])),
    "too many values": ("digits", listing([*ZEROS, 0])),
    "values nested otherwise": ("digits", listing([ZEROS[:32], ZEROS[32:]])),
    "values that are no list": ("digits", listing({"0": 0})),
    "lists of unequal lengths": ("digits", listing([ZEROS[:3], ZEROS[:61]])),
    "null among the values": ("digits", listing([None, *ZEROS[1:]])),
    "bfloat16 in JSON": ("points", listing([0.0, 0.0], [1, 2], "BF16")),
    "not a number": ("points", request(binary("items", np.full((1, 2), np.nan, "<f4"), "FP32"))),
    "a float beyond float32": ("points", listing([1e300, 0], [1, 2], "FP64")),
    "a row that is no JSON": ("points", listing(["[1, "], [1], "BYTES")),
    "a row of three": ("points", listing(["[1, 2, 3]"], [1], "BYTES")),
    "shared memory": ("digits", claiming(parameters={"shared_memory_region": "mine", "shared_memory_byte_size": 64})),
    "an output that is not there": ("digits", digits(1, outputs=[{"name": "map of the moon"}])),
    "an output twice": ("digits", digits(1, outputs=[{"name": "log_likelihood"}] * 2)),
    "an output without a name": ("digits", digits(1, outputs=[{}])),
    "a classification": (
        "digits",
        digits(1, outputs=[{"name": "log_likelihood", "parameters": {"classification": 3}}]),
    ),
    "an output into shared memory": (
        "digits",
        digits(1, outputs=[{"name": "log_likelihood", "parameters": {"shared_memory_region": "a"}}]),
    ),
    "a negative timeout": ("digits", digits(1, parameters={"timeout": -1})),
    "a timeout of words": ("digits", digits(1, parameters={"timeout": "soon"})),
    "a timeout without end": ("digits", digits(1, parameters={"timeout": 10**30})),
    "a seed of words": ("digits", digits(1, parameters={"seed": "seven"})),
    "alpha of 2": ("digits", digits(1, parameters={"alpha": 2})),
    "two seeds": ("digits", request(binary("items", images(1), "UINT8"), binary("seed", np.array([1, 2]), "INT64"))),
    "no number of samples": ("digits.sample", {"inputs": [], "parameters": {"n": 0}}),
    "samples without end": ("digits.sample", {"inputs": [], "parameters": {"n": 10**12}}),
    "images for a sample": ("digits.sample", digits(1)),
    "a hot sample": ("digits.sample", {"inputs": [], "parameters": {"temperature": 11}}),
    "images for latents": ("digits.decode", digits(1)),
    "latents of another size": ("digits.decode", request(binary("latents", np.zeros((1, 63), "<f4"), "FP32"))),
    "latents of text": ("digits.decode", {"inputs": [tensor("latents", [1], "BYTES", data=["[0]"])]}),
    "two images to inpaint": ("digits.inpaint", request(binary("image", images(2), "UINT8"))),
    "no image to inpaint": ("digits.inpaint", {"inputs": []}),
    "a mask of another size": (
        "digits.inpaint",
        request(binary("image", images(1), "UINT8"), binary("mask", np.ones((1, 64), bool), "BOOL")),
    ),
    "a mask of text": (
        "digits.inpaint",
        {"inputs": [tensor("image", [8, 8], "UINT8", data=ZEROS), tensor("mask", [1], "BYTES", data=["1"])]},
    ),
    "a method that is not there": (
        "digits.inpaint",
        request(binary("image", images(1), "UINT8"), parameters={"method": "magic"}),
    ),
    "gzip that is none": ("digits", Request(digits(1).body, digits(1).headers | {"Content-Encoding": "gzip"})),
    "deflate that is none": ("digits", Request(digits(1).body, digits(1).headers | {"Content-Encoding": "deflate"})),
    "gzip that ends early": (
        "digits",
        Request(gzip.compress(digits(1).body)[:-9], digits(1).headers | {"Content-Encoding": "gzip"}),
    ),
    "a coding that nobody knows": (
        "digits",
        Request(digits(1).body, digits(1).headers | {"Content-Encoding": "rot13"}),
    ),
    "a body of too much": ("digits", raw(bytes(2**20 + 1))),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_it_is_refused_by_name_and_the_service_lives(service: Running, case: str) -> None:
    name, sent = MALFORMED[case]
    answer = await infer(service, name, sent)
    assert 400 <= answer.status_code < 500, answer.text
    problem = json.loads(answer.content)
    assert isinstance(problem["error"], str)
    assert problem["error"]
    assert len(answer.content) < 2000
    assert (await service.http.get("/v2/health/live")).status_code == 200
    assert (await infer(service, "digits", digits(1))).status_code == 200
    assert service.waiting == 0


def test_there_are_at_least_forty() -> None:
    assert len(MALFORMED) >= 40
