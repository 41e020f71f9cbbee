"""POST /inpaint: fill in what a mask hides."""

from __future__ import annotations

import secrets
import time

from starlette.responses import Response

from service.api.answers import Answer
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
from service.api.operations import operation
from service.api.task_states import ACCEPTED, accepted
from service.media.types import CSV, EVENTS, NPY, PNG
from service.protocol.messages import Completed, TaskIs, TaskKey

_NO_WAY = (PNG, NPY, CSV)
"""The forms that tell nothing of how the search went: nobody needs to watch it."""


@operation(
    "POST", "/inpaint", InpaintParameters, responses=INPAINTED | ACCEPTED, body=INPAINT_BODY, refusals=(413, 415)
)
async def inpaint(exchange: Exchange, query: InpaintParameters) -> Response:
    """Ascend the model's likelihood over the hidden part; the known part comes back exactly.

    Multipart `image` and `mask` (white, 128 or more, is filled in; so is a pixel of the image that is more transparent
    than opaque), JSON with `image` and `mask` (anything but 0 is filled in) or with null where the image is unknown, or
    one npy array of floats with NaN there. A model of pictures of any size takes pictures of any size, of which `fit`
    scales down those that are larger than it works at. A row of a table's model is a JSON object by column name with
    null, or CSV with an empty cell. Where nothing is hidden the item comes back after 0 steps.

    The answer is a PNG (a grid when `n` is more than 1, the likeliest first), JSON, npy, or by `Accept` an animation
    of the search (`image/webp`, `image/gif`: of the first 16 draws) or `text/event-stream`: `progress` events with
    `step`, `log_likelihood` and a `preview`, then one `result` as in JSON, or one `problem`. With `Prefer:
    respond-async` it is 202 with the `Location` of an inpainting that goes on without the client.
    """
    service = exchange.service
    model = await service.model(query.model)
    form = negotiate(exchange.accept, inpainting_forms(model))
    deadline, device = exchange.deadline(), service.device
    with device.queue.reserve() as room:
        asked, notes = await asked_for(exchange, query, model, room)
        room.release()
        if _prefers_async(exchange):
            task = TaskKey(secrets.token_urlsafe(16), "")
            late = time.monotonic() + service.settings.task_deadline
            told: TaskIs = await device.ask(lambda number: numbered(asked, number, late, task=task))
            answer: Answer = accepted(told.about, {"Preference-Applied": "respond-async"}, notes)
            return answer
        if form == EVENTS:
            steps = device.stream(lambda number: numbered(asked, number, deadline, watch=True))
            return Streamed(service, steps, model.table, notes)
        found: Completed = await device.ask(lambda number: numbered(asked, number, deadline, watch=form not in _NO_WAY))
    return await completed_answer(service, found, model, form, notes)


def _prefers_async(exchange: Exchange) -> bool:
    """Whether any Prefer header (RFC 7240) asks to be answered before the work is done."""
    if b"prefer" not in exchange.headers:
        return False
    sent = [value.decode("latin-1") for name, value in exchange.scope["headers"] if name == b"prefer"]
    return any(wish.split(";")[0].strip().lower() == "respond-async" for wish in ",".join(sent).split(","))
