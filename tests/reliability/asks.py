"""Requests for the small models of the tests, as ``load`` sends them: good ones of every kind, and bad ones."""

from __future__ import annotations

import io
import json

import numpy as np

from tests.reliability.load import Ask
from tests.service.helpers import images, npy, picture

JSON = {"Content-Type": "application/json"}
NPY = {"Content-Type": "application/x-npy"}
_DIGITS = images(4)
_TWO_PICTURES = (
    b"".join(
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        + picture(image)
        + b"\r\n"
        for image in _DIGITS[:2]
    )
    + b"--b--\r\n"
)


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


SCORE = Ask("score", "POST", "/score", _json({"items": _DIGITS[:1].tolist()}), JSON, weight=8)
SAMPLE = Ask("sample", "POST", "/sample?seed=3&n=2", headers={"Accept": "application/x-npy"}, weight=2)
INPAINT = Ask("inpaint", "POST", "/inpaint?model=points&steps=5&seed=1", _json({"image": [0.5, None]}), JSON)
GOOD = [
    SCORE,
    SAMPLE,
    INPAINT,
    Ask("score npy", "POST", "/score", npy(_DIGITS), NPY, weight=8),
    Ask("score png", "POST", "/score", picture(_DIGITS[0]), {"Content-Type": "image/png"}, weight=2),
    Ask("score multipart", "POST", "/score", _TWO_PICTURES, {"Content-Type": "multipart/form-data; boundary=b"}),
    Ask("encode", "POST", "/encode", npy(_DIGITS), NPY, weight=2),
    Ask("decode", "POST", "/decode?model=points", _json({"latents": [[0.1, 0.2]]}), JSON),
    Ask("models", "GET", "/models/digits"),
    Ask("live", "GET", "/health/live", weight=4),
    Ask(
        "v2",
        "POST",
        "/v2/models/digits/infer",
        _json({"inputs": [{"name": "items", "datatype": "UINT8", "shape": [1, 8, 8], "data": _DIGITS[:1].tolist()}]}),
        JSON,
        weight=2,
    ),
]
BAD = [
    Ask("damaged npy", "POST", "/score", b"\x93NUMPY\x01\x00", NPY, expected=(400,)),
    Ask("damaged json", "POST", "/score", b'{"items": [', JSON, expected=(400,)),
    Ask("damaged png", "POST", "/score", b"\x89PNG", {"Content-Type": "image/png"}, expected=(400, 422)),
    Ask("wrong shape", "POST", "/score", npy(np.zeros((1, 3, 3), np.uint8)), NPY, expected=(422,)),
    Ask("wrong type", "POST", "/score", b"a", {"Content-Type": "text/plain"}, expected=(415,)),
    Ask("no such model", "GET", "/models/nobody", expected=(404,)),
    Ask("wrong query", "POST", "/sample?n=0", expected=(422,)),
    Ask("no such path", "GET", "/nowhere", expected=(404,)),
]


def large_array(count: int) -> bytes:
    """An npy body of many digits, whose latents are a large answer."""
    stream = io.BytesIO()
    np.save(stream, images(count))
    return stream.getvalue()
