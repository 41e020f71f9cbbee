"""Requests of the Open Inference Protocol v2 for tests, made without a client of it, and their answers."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import httpx
import ml_dtypes
import numpy as np

from tests.service.helpers import Running, images

DTYPES: dict[str, Any] = {
    "FP16": "<f2",
    "BF16": ml_dtypes.bfloat16,
    "FP32": "<f4",
    "FP64": "<f8",
    "BOOL": "?",
    "UINT8": "<u1",
    "INT64": "<i8",
}


class Request(NamedTuple):
    """A body and its headers."""

    body: bytes
    headers: dict[str, str]


def tensor(name: str, shape: list[int], datatype: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, **more}


def binary(name: str, array: np.ndarray, datatype: str) -> tuple[dict[str, Any], bytes]:
    """The description of a binary tensor, and its bytes."""
    data = array.tobytes()
    return tensor(name, list(array.shape), datatype, parameters={"binary_data_size": len(data)}), data


def request(*tensors: tuple[dict[str, Any], bytes], **head: Any) -> Request:
    """A request with binary tensors."""
    text = json.dumps({"inputs": [described for described, _ in tensors], **head}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}
    return Request(text + b"".join(data for _, data in tensors), headers)


def digits(count: int = 3, seed: int = 0, **head: Any) -> Request:
    """Images as binary data."""
    return request(binary("items", images(count, seed), "UINT8"), **head)


async def infer(service: Running, name: str, sent: Request | dict[str, Any], version: str = "") -> httpx.Response:
    """The answer to a request with binary tensors, or to a JSON document."""
    path = f"/v2/models/{name}{f'/versions/{version}' if version else ''}/infer"
    if isinstance(sent, dict):
        return await service.http.post(path, json=sent)
    return await service.http.post(path, content=sent.body, headers=sent.headers)


def outputs(answer: httpx.Response) -> dict[str, np.ndarray]:
    """The outputs of an answer by name, whether they came in JSON or as binary data."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get("inference-header-content-length", len(answer.content)))
    head, place = json.loads(answer.content[:length]), length
    found = {}
    for output in head["outputs"]:
        dtype, shape = np.dtype(DTYPES[output["datatype"]]), output["shape"]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = np.array(output["data"], dtype).reshape(shape)
        else:
            found[output["name"]] = np.frombuffer(answer.content[place : place + size], dtype).reshape(shape)
            place += size
    assert place == len(answer.content)
    return found
