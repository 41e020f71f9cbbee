"""Bodies of requests: one picture in the form that each server takes, batches, samples and inpaintings."""

from __future__ import annotations

import io
import json

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.side_by_side.load import Request

NPY = "application/x-npy"


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W) as a PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def npy(array: NDArray[np.generic]) -> bytes:
    """An array as an npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def picture(path: str, pixels: NDArray[np.uint8]) -> Request:
    """A PNG as the body."""
    return Request(path, png(pixels), {"Content-Type": "image/png"})


def form(path: str, pixels: NDArray[np.uint8]) -> Request:
    """A PNG as the one file of a multipart form."""
    boundary = "a-boundary-that-no-picture-holds"
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="pictures"; filename="digit.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + png(pixels) + f"\r\n--{boundary}--\r\n".encode()
    return Request(path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def tensor(path: str, pixels: NDArray[np.uint8], name: str = "pixels") -> Request:
    """The Open Inference Protocol with binary tensors: a JSON head whose length a header gives, then the pixels.

    ``pixels`` are one picture (H, W), or several (N, H, W), under the name of the server's input.
    """
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": [1, *pixels.shape][-3:],
                    "datatype": "UINT8",
                    "parameters": {"binary_data_size": pixels.nbytes},
                }
            ],
            "outputs": [{"name": "log_likelihood", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Request(path, head + pixels.tobytes(), headers)


def batch(pixels: NDArray[np.uint8]) -> Request:
    """Score pictures (N, H, W) sent as one npy file to the default model."""
    return Request("/score?seed=0", npy(pixels), {"Content-Type": NPY})


def samples(n: int, query: str = "") -> Request:
    """Draw n samples, answered as one PNG."""
    return Request(f"/sample?n={n}{query}", headers={"Accept": "image/png"})


def inpainting(pixels: NDArray[np.uint8], steps: int, query: str = "") -> Request:
    """Complete the lower half of a picture (H, W), npy in and npy out."""
    values = (pixels / 255).astype(np.float32)
    values[len(values) // 2 :] = np.nan  # NaN marks a missing pixel
    return Request(f"/inpaint?steps={steps}&seed=1{query}", npy(values), {"Content-Type": NPY, "Accept": NPY})
