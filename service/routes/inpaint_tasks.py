"""/inpaint/{id}: inpaintings that go on without the client."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from service.arrays import to_json
from service.inpainting import Asked, State
from service.negotiation import EVENTS, JSON, negotiate
from service.routes.asked import INPAINT_BODY, INPAINTED, Accept, Streamed, TheAsked, completed
from service.routes.common import Responses, TheCall, TheEngine, problems
from service.routes.completions import inpainting_forms
from service.routes.events import events
from service.tasks import Task
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems())

Id = Annotated[str, Path(alias="id", pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class TaskState(BaseModel):
    id: str
    state: State
    model: str
    seed: int
    method: str
    n: int
    steps: int
    """The most that it may take."""
    step: int
    """That of the furthest completion when it was last looked at; 0 before the first look."""
    log_likelihood: float | None
    """Of where the likeliest completion stood then, in nats."""


ACCEPTED: Responses = {202: {"model": TaskState, "description": "It goes on; `Location` tells where"}}


def state_of(task: Task) -> TaskState:
    inpainting = task.inpainting
    asked, snapshot = inpainting.asked, inpainting.progress and inpainting.progress.latest()
    return TaskState(
        id=task.id,
        state=inpainting.state,
        model=asked.model.reference,
        seed=asked.seed,
        method=asked.options.method,
        n=asked.n,
        steps=asked.options.steps,
        step=snapshot.step if snapshot else 0,
        log_likelihood=snapshot.log_likelihood if snapshot else None,
    )


def accepted(task: Task) -> Response:
    """202: come back for it."""
    return _answer(task.id, state_of(task), 202)


def _told(task: Task) -> Response:
    """202 and the state while it goes on, 200 and the state once it has ended."""
    state = state_of(task)  # once: it may end at any moment
    return _answer(task.id, state, 200 if state.state in ("done", "stopped", "failed") else 202)


def _answer(name: str, state: TaskState, status: int) -> Response:
    return Response(to_json(state), status, {"Location": f"/inpaint/{name}"}, JSON)


@router.put(
    "/inpaint/{id}",
    responses=problems(400, 409, 413, 415) | ACCEPTED | {200: {"model": TaskState}},
    openapi_extra=INPAINT_BODY,
    response_class=Response,
)
async def put(request: Request, name: Id, engine: TheEngine, call: TheCall, asked: TheAsked) -> Response:
    """Begin an inpainting under an id of the client's choice, with the parameters and the body of `POST /inpaint`.

    The same again changes nothing: a client that is not sure may repeat it. Anything else under the same id is 409.
    """
    fingerprint = _fingerprint(request, asked)
    task = engine.tasks.same(name, fingerprint)
    if task is None:
        deadline = time.monotonic() + engine.settings.task_deadline
        task = engine.tasks.add(
            lambda: engine.inpaint(asked, call.ticket.hand_over(), deadline, watched=True), name, fingerprint
        )
    return _told(task)


@router.get("/inpaint/{id}", responses=problems(406) | INPAINTED | ACCEPTED, response_class=Response)
async def get(name: Id, engine: TheEngine, accept: Accept = None) -> Response:
    """202 with the state while it goes on; then what `POST /inpaint` would have answered, by `Accept`.

    `text/event-stream` follows it to the end.
    """
    task = engine.tasks.get(name)
    form = negotiate(accept, inpainting_forms(task.inpainting.asked.model.flow))
    if form == EVENTS:
        return Streamed(events(engine, task.inpainting))
    if not task.inpainting.ended:
        return accepted(task)
    return await completed(engine, task.inpainting, form)


@router.delete("/inpaint/{id}", responses=ACCEPTED | {200: {"model": TaskState}}, response_class=Response)
async def stop(name: Id, engine: TheEngine) -> Response:
    """Stop after the next step and keep the best so far, which `GET` then answers with."""
    task = engine.tasks.get(name)
    if not task.inpainting.ended and not task.inpainting.job.stopping:
        task.inpainting.job.stop()
        engine.metrics.cancelled.labels("stopped").inc()
    return _told(task)


def _fingerprint(request: Request, asked: Asked) -> str:
    """Of the parameters as they were written and of the decoded body: a multipart boundary is new each time."""
    digest = hashlib.sha256(json.dumps(sorted(request.query_params.multi_items())).encode())
    for tensor in (asked.item, asked.hidden):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
