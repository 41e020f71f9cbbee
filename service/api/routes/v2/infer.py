"""POST /v2/models/{name}/infer: score, sample, inpaint, encode and decode as tensors in and tensors out."""

from __future__ import annotations

import time
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from service.api.answers import Answer
from service.api.guard import Exchange
from service.api.operations import OperationRoute, Parameters, operation
from service.api.parameters import BINARY
from service.api.schemas import answered, schema_of
from service.api.service import Service
from service.api.v2.documents import InferResponse
from service.api.v2.outputs import choice_of, outputs_of
from service.api.v2.requests import Asked, asked_for, timeout_of
from service.api.v2.signatures import MAP, Called, called
from service.media.compression import deflated, inflated, wished
from service.media.inference import InferRequest, answer_body, read_head
from service.media.types import JSON, OCTETS
from service.protocol.messages import Options, Submit
from service.protocol.queue import Reservation

HEAD_LENGTH = "Inference-Header-Content-Length"
_HEAD_LENGTH = HEAD_LENGTH.lower().encode()
_WORTH_COMPRESSING = 2**10

_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": schema_of(InferRequest),
                "examples": {
                    "points": {
                        "summary": "two points of a 2-D model",
                        "value": {
                            "inputs": [
                                {"name": "items", "shape": [2, 2], "datatype": "FP32", "data": [0.5, 1, 2, 0]},
                            ]
                        },
                    }
                },
            },
            OCTETS: {"schema": BINARY},
        },
    }
}


class NoParameters(Parameters):
    """The query of an inference, which says nothing: parameters stand in the body."""


def _route(path: str) -> OperationRoute:
    made = operation(
        "POST", path, NoParameters, responses={200: answered(InferResponse, OCTETS)}, body=_REQUEST, refusals=(413, 415)
    )
    return made(infer)


async def infer(exchange: Exchange, _: NoParameters) -> Response:
    """The Open Inference Protocol v2, as an unmodified Triton client speaks it.

    `NAME` scores; `NAME.sample`, `NAME.inpaint`, `NAME.encode` and `NAME.decode` are the model's other functions. The
    body is a JSON head; values stand in it, or follow it as binary tensors, and then the header
    `Inference-Header-Content-Length` says how long the head is. Options such as `seed` are parameters or inputs of one
    value. `parameters.timeout` is a deadline in microseconds.
    """
    service, began = exchange.service, time.perf_counter()
    name = exchange.path_part("name") or ""
    function = await called(service.model, service.device.catalogue, name, exchange.path_part("version"))
    exchange.deadline()
    counts = service.metrics.functions(function.model.reference, function.kind)
    try:
        with service.device.queue.reserve() as room:
            request, asked, deadline = await _read(exchange, function, room)
            chosen = choice_of(request, function, asked)
            room.release()
            work = asked.work
            if function.kind == "score" and MAP in chosen.outputs:
                work.options = Options(fdr=work.options.fdr, map=True)
            sent = time.perf_counter()
            found = await service.device.ask(lambda number: _numbered(work, number, deadline))
            answered_at = time.perf_counter()
        outputs = outputs_of(service, function, asked, found, chosen)
        size = sum(output.values.nbytes for output in outputs)
        answer = await service.compute(
            lambda: _answer(exchange, function, answer_body(name, function.version, request.id, outputs)),
            size,
        )
    except BaseException:
        counts.failed(time.perf_counter() - began)
        raise
    counts.succeeded(_items_in(asked), sent - began, time.perf_counter() - answered_at, time.perf_counter() - began)
    return answer


INFER = (_route("/v2/models/{name}/infer"), _route("/v2/models/{name}/versions/{version}/infer"))

_PREFIX = "/v2/models/"
_SUFFIX = "/infer"


def direct(scope: Scope) -> OperationRoute | None:
    """The route of an inference, found without asking every route; the scope then holds the parts of the path."""
    path: str = scope["path"]
    if scope["method"] != "POST" or not path.startswith(_PREFIX) or not path.endswith(_SUFFIX):
        return None
    match path.split("/"):
        case [_, _, _, name, _] if name:
            scope["path_params"] = {"name": name}
            return INFER[0]
        case [_, _, _, name, "versions", version, _] if name and version:
            scope["path_params"] = {"name": name, "version": version}
            return INFER[1]
    return None


async def _read(exchange: Exchange, function: Called, room: Reservation) -> tuple[InferRequest, Asked, float]:
    """The request, the work that it asks for, and its deadline."""
    service = exchange.service
    body = await exchange.body_as_sent()
    coding = exchange.header(b"content-encoding")
    if coding is not None:
        body = await _inflated(service, body, coding)
        exchange.hold(len(body))
    head_length = exchange.header(_HEAD_LENGTH)
    size = len(body) if head_length is None else 0
    request, binary = await service.compute(lambda: read_head(body, head_length), size)
    deadline = exchange.deadline(timeout_of(request))
    return request, await asked_for(service, function, request, binary, room), deadline


async def _inflated(service: Service, body: bytes, coding: str) -> bytes:
    limit = service.settings.max_body_bytes
    # How much a small body unfolds into is not known before.
    return await service.compute(lambda: inflated(body, coding.strip().lower(), limit), limit)


def _numbered(work: Submit, number: int, deadline: float) -> Submit:
    work.id, work.deadline = number, deadline
    return work


def _items_in(asked: Asked) -> int:
    work = asked.work
    return work.n if work.kind in ("sample", "inpaint") else work.cost


def _answer(exchange: Exchange, function: Called, content: tuple[bytes, int | None]) -> Answer:
    body, head_length = content
    headers = {"X-Sluice-Model": function.model.reference}
    if head_length is not None:
        headers[HEAD_LENGTH] = str(head_length)
    coding = wished(exchange.header(b"accept-encoding"))
    if coding is not None and len(body) >= _WORTH_COMPRESSING:
        body = deflated(body, coding)
        headers["Content-Encoding"] = coding
    return Answer(body, JSON if head_length is None else OCTETS, headers)
