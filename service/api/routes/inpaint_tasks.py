"""/inpaint/{id}: inpaintings that go on without the client."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from contextlib import suppress
from urllib.parse import parse_qsl

from starlette.responses import Response

from service.api.events import Streamed
from service.api.guard import Exchange
from service.api.inpaint_requests import (
    INPAINT_BODY,
    INPAINTED,
    InpaintParameters,
    asked_for,
    completed_answer,
    inpainting_forms,
    numbered,
)
from service.api.negotiation import negotiate
from service.api.operations import Parameters, operation
from service.api.parameters import checked_id
from service.api.service import Service
from service.api.task_states import ACCEPTED, TOLD, accepted, told
from service.media.any_pictures import preparation_of
from service.media.types import EVENTS
from service.protocol.errors import Unknown
from service.protocol.messages import ENDED, Completed, Follow, StopTask, Submit, TaskIs, TaskKey
from service.protocol.queue import Queue, Reservation
from service.protocol.windows import MOST_COST


@operation("PUT", "/inpaint/{id}", InpaintParameters, responses=TOLD, body=INPAINT_BODY, refusals=(409, 413, 415))
async def put(exchange: Exchange, query: InpaintParameters) -> Response:
    """Begin an inpainting under an id of the client's choice, with the parameters and the body of `POST /inpaint`.

    The same again changes nothing: a client that is not sure may repeat it. Anything else under the same id is 409.
    """
    service = exchange.service
    name = checked_id(exchange.path_id)
    model = await service.model(query.model)
    exchange.deadline()
    # What a tick of a picture of any size costs is known once it is decoded.
    heaviest = MOST_COST if preparation_of(model, judged=False) is not None else 1
    with await _room(service, name, query.n * query.steps * heaviest) as room:
        asked, notes = await asked_for(exchange, query, model, room)
        key = TaskKey(name, _fingerprint(exchange, asked))
        late = time.monotonic() + service.settings.task_deadline
        room.release()
        answer: TaskIs = await service.device.ask(lambda number: numbered(asked, number, late, task=key))
    return told(answer.about, notes)


@operation("GET", "/inpaint/{id}", Parameters, responses=INPAINTED | ACCEPTED)
async def get(exchange: Exchange, query: Parameters) -> Response:
    """202 with the state while it goes on; then what `POST /inpaint` would have answered, by `Accept`.

    `text/event-stream` follows it to the end.
    """
    del query
    name, device = checked_id(exchange.path_id), exchange.service.device
    state: TaskIs = await device.ask(lambda number: Follow(number, name, "state"))
    model = state.model
    form = negotiate(exchange.accept, inpainting_forms(model))
    if form == EVENTS:
        return Streamed(exchange.service, device.stream(lambda number: Follow(number, name, "events")), model.table)
    if state.about.state not in ENDED:
        return accepted(state.about)
    found: Completed = await device.ask(lambda number: Follow(number, name, "result"))
    return await completed_answer(exchange.service, found, model, form)


@operation("DELETE", "/inpaint/{id}", Parameters, responses=TOLD)
async def stop(exchange: Exchange, query: Parameters) -> Response:
    """Stop after the next step and keep the best so far, which `GET` then answers with."""
    del query
    name, device = checked_id(exchange.path_id), exchange.service.device
    before: TaskIs = await device.ask(lambda number: Follow(number, name, "state"))
    answer: TaskIs = await device.ask(lambda number: StopTask(number, name))
    if answer.about.state == "stopping" and before.about.state != "stopping":
        exchange.service.metrics.cancelled.labels("stopped").inc()
    return told(answer.about)


async def _room(service: Service, name: str, cost: int) -> Reservation:
    """Room for a new task. A full queue does not matter to one that runs already: asking again costs nothing."""
    queue = service.device.queue
    if queue.waiting + cost > queue.bound:
        with suppress(Unknown):
            await service.device.ask(lambda number: Follow(number, name, "state"))
            return Reservation(Queue(sys.maxsize, ()))
    return queue.reserve()


def _fingerprint(exchange: Exchange, asked: Submit) -> str:
    """Of the parameters as they were written and of the decoded body: a multipart boundary is new each time."""
    written = sorted(parse_qsl(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True))
    digest = hashlib.sha256(json.dumps(written).encode())
    for array in (asked.arrays["items"], asked.arrays["hidden"]):
        digest.update(array.tobytes())
    return digest.hexdigest()
