"""POST /inpaint: fill in what a mask hides."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.negotiation import EVENTS, NPY, PNG, negotiate
from service.routes.asked import INPAINT_BODY, INPAINTED, Accept, Streamed, TheAsked, completed
from service.routes.common import TheCall, TheEngine, TheModel, problems
from service.routes.completions import inpainting_forms
from service.routes.events import own_events
from service.routes.inpaint_tasks import ACCEPTED, accepted
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems(400, 406, 413, 415))

_NO_WAY = (PNG, NPY)
"""The forms that tell nothing of how the climb went: nobody needs to watch it."""


async def acceptable(model: TheModel, accept: Accept = None) -> str:
    """The answer's form, refused before the body is read."""
    return negotiate(accept, inpainting_forms(model.flow))


@router.post("/inpaint", responses=INPAINTED | ACCEPTED, openapi_extra=INPAINT_BODY, response_class=Response)
async def inpaint(
    request: Request,
    engine: TheEngine,
    form: Annotated[str, Depends(acceptable)],
    call: TheCall,
    asked: TheAsked,
) -> Response:
    """Ascend the model's likelihood over the hidden part; the known part comes back exactly.

    Multipart `image` and `mask` (white, 128 or more, is filled in; so is a pixel of the image that is more transparent
    than opaque), JSON with `image` and `mask` (anything but 0 is filled in) or with null where the image is unknown, or
    one npy array of floats with NaN there. Where nothing is hidden the item comes back after 0 steps.

    The answer is a PNG (a grid when `n` is more than 1, the likeliest first), JSON, npy, or by `Accept` an animation
    of the climb (`image/webp`, `image/gif`: of the first 16 draws) or `text/event-stream`: `progress` events with
    `step`, `log_likelihood` and a `preview`, then one `result` as in JSON, or one `problem`. With `Prefer:
    respond-async` it is 202 with the `Location` of an inpainting that goes on without the client.
    """
    if _prefers_async(request):
        deadline = time.monotonic() + engine.settings.task_deadline
        task = engine.tasks.add(lambda: engine.inpaint(asked, call.ticket.hand_over(), deadline, watched=True))
        response = accepted(task)
        response.headers["Preference-Applied"] = "respond-async"
        return response
    inpainting = engine.inpaint(asked, call.ticket, call.deadline, watched=form not in _NO_WAY)
    if form == EVENTS:
        return Streamed(own_events(engine, inpainting))
    return await completed(engine, inpainting, form)


def _prefers_async(request: Request) -> bool:
    """Whether any Prefer header (RFC 7240) asks to be answered before the work is done."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(preference.split(";")[0].strip().lower() == "respond-async" for preference in preferences)
