"""What is fuzzed: each parser of bytes that a client chose. It returns or raises a problem that is the client's."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from service.api.bodies import parts_of
from service.api.problems import STATUS
from service.media.effort import Effort
from service.media.inference import inputs_of, outputs_of, read_head
from service.media.items import Body, ItemSpec, Part, inpainting_of, items_of, latents_of, sent_of
from service.media.pictures import open_picture, to_pixels
from service.media.table_rows import Table
from service.media.types import CSV, JSON, MULTIPART, NPY, PNG
from service.protocol.errors import Problem
from tables import Column, Schema

MOST = 1000
"""Items of a request."""
PIXELS = 2**20
LARGEST = 2**13
"""Bytes of an input."""

SCHEMA = Schema(
    (
        Column("pressure", "continuous", low=0.5, high=3.5),
        Column("count", "integer", resolution=1.0, low=0, high=1000),
        Column("line", "category", resolution=1.0, high=2.0, categories=("a", "b", "it's")),
        Column("when", "time", resolution=1.0, low=0.0, high=2e9, unit="second"),
    )
)
SPECS = {
    "digits": ItemSpec((8, 8), True),
    "colours": ItemSpec((4, 4, 3), True),
    "points": ItemSpec((2,), False),
    "rows": ItemSpec((len(SCHEMA),), False, Table(SCHEMA, takes_missing=False)),
    "rows with gaps": ItemSpec((len(SCHEMA),), False, Table(SCHEMA, takes_missing=True)),
}
INPUTS = ("items", "seed", "n", "steps", "mask", "image", "latents")


def _picture() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(stream, "PNG")
    return stream.getvalue()


_IMAGE = _picture()


class Found(Exception):
    """A parser answered an input with what would be 500."""


def held(*parsers: Callable[[], object]) -> None:
    """Call parsers. Raises Found unless each returns, or raises a problem that is the client's."""
    for parser in parsers:
        try:
            Effort(PIXELS).spent_by(parser)
        except Problem as problem:
            if STATUS[problem.kind] >= 500:
                raise Found(repr(problem)) from problem
            if not problem.detail or len(problem.detail) > 2000 or len(problem.field or "") > 200:
                raise Found(f"a problem of {len(problem.detail)} characters") from problem


def _all_of(kind: str, data: bytes) -> None:
    body = Body(kind, [Part("body", kind, data)])
    held(
        *(lambda spec=spec: (body.most_items(spec.shape), sent_of(body, spec, False, MOST)) for spec in SPECS.values()),
        *(lambda spec=spec: inpainting_of(body, spec, False) for spec in SPECS.values()),
    )


def npy(data: bytes) -> None:
    """Arrays: items, latents, and one item with gaps."""
    _all_of(NPY, data)
    held(lambda: latents_of(Body(NPY, [Part("body", NPY, data)]), (8, 8), MOST))


def json(data: bytes) -> None:
    """JSON: items, rows by name, latents, one item with gaps."""
    _all_of(JSON, data)
    held(lambda: latents_of(Body(JSON, [Part("body", JSON, data)]), (2,), MOST))


def csv(data: bytes) -> None:
    """Rows of a table as text."""
    _all_of(CSV, data)


def mask(data: bytes) -> None:
    """A mask beside an image, and an image whose transparency is one, each as a picture and as an array."""

    def parts(*sent: Part) -> Body:
        return Body(MULTIPART, list(sent))

    image = Part("image", PNG, _IMAGE)
    for kind in (PNG, NPY):
        bodies = parts(image, Part("mask", kind, data)), parts(Part("image", kind, data))
        held(
            *(
                lambda body=body, name=name, fit=fit: inpainting_of(body, SPECS[name], fit)
                for body in bodies
                for name in ("digits", "colours", "points")
                for fit in (False, True)
            )
        )


def picture(data: bytes) -> None:
    """PNG and JPEG."""
    held(
        lambda: to_pixels(open_picture(data, "items[0]"), (8, 8), False, "items[0]"),
        lambda: to_pixels(open_picture(data, "items[0]"), (4, 4, 3), True, "items[0]"),
    )


def multipart(data: bytes) -> None:
    """A multipart body; the first line is what follows the media type in the header."""
    parameters, _, rest = data.partition(b"\n")
    header = "multipart/form-data" + parameters.decode("latin-1")

    def parse() -> None:
        items_of(parts_of(rest, header, MOST), SPECS["digits"], True, MOST)

    held(parse)


def v2(data: bytes) -> None:
    """A body of the Open Inference Protocol; the first line is the header that says how long the head is."""
    length, _, rest = data.partition(b"\n")

    def parse() -> None:
        request, binary = read_head(rest, length.decode("latin-1") or None)
        outputs_of(request, ("log_likelihood", "p_value"), ("log_likelihood",))
        for sent in inputs_of(request, binary, INPUTS).values():
            sent.values()

    held(parse)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (npy, json, csv, mask, picture, multipart, v2)
}
