"""What the routes of an inpainting share: parameters, the body that asks for one, and the forms of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from starlette.responses import Response

from service.api.answers import Answer, headers_of
from service.api.bodies import read_body
from service.api.guard import Exchange
from service.api.operations import Parameters
from service.api.parameters import BINARY, Fit, Model, Seed, decoding_size
from service.api.schemas import answered
from service.api.service import Service, bound, draw_seed
from service.media.any_pictures import preparation_of
from service.media.completions import Completions
from service.media.items import ItemSpec, inpainting_of
from service.media.pictures_to_fill import picture_to_fill
from service.media.representations import completion_forms, encoded_completions
from service.media.types import CSV, EVENTS, GIF, JSON, MULTIPART, NPY, PNG, WEBP
from service.protocol import defaults
from service.protocol.errors import WrongValue
from service.protocol.messages import Completed, Options, Submit, TaskKey
from service.protocol.model_info import ModelInfo
from service.protocol.queue import Reservation
from service.settings import Settings

INPAINT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {"schema": {"type": "object", "properties": {"image": BINARY, "mask": BINARY}}},
            JSON: {
                "schema": {"type": "object", "required": ["image"]},
                "examples": {
                    "point": {"summary": "the second number is unknown", "value": {"image": [0.5, None]}},
                    "row": {
                        "summary": "a row of a table's model, by column name",
                        "value": {"image": {"height": 171.5, "colour": "red", "rooms": None}},
                    },
                    "mask": {"summary": "the same with a mask", "value": {"image": [0.5, 0], "mask": [0, 1]}},
                },
            },
            NPY: {"schema": BINARY},
            CSV: {"schema": {"type": "string"}},
        },
    }
}
INPAINTED: dict[int | str, dict[str, Any]] = {200: answered(Completions, PNG, NPY, CSV, WEBP, GIF, EVENTS)}


class InpaintParameters(Parameters):
    """The query of an inpainting."""

    model: Model = None
    n: Annotated[int, Field(description="Independent completions, ranked by log-likelihood")] = defaults.INPAINT_N
    steps: Annotated[
        int, Field(description="The most steps; fewer when it converges", examples=[defaults.INPAINT_STEPS])
    ] = defaults.INPAINT_STEPS
    method: Annotated[str, Field(json_schema_extra={"enum": list(defaults.INPAINT_METHODS)})] = defaults.INPAINT_METHOD
    step_size: Annotated[float, Field(ge=0, le=100, description="Multiplies the method's own step")] = (
        defaults.STEP_SIZE
    )
    temperature: Annotated[float, Field(ge=0, le=10, description="Multiplies the method's own noise")] = (
        defaults.TEMPERATURE
    )
    seed: Seed = None
    fit: Fit = False


async def asked_for(
    exchange: Exchange, query: InpaintParameters, model: ModelInfo, room: Reservation
) -> tuple[Submit, tuple[str, ...]]:
    """Parameters, then room in the queue, then the body. The message, and notes for the sender.

    The message lacks its id, deadline and task.
    """
    asked = work_of(query, model, exchange.service.settings)
    body = await read_body(exchange, (MULTIPART, JSON, NPY, CSV), most_files=2)
    room.resize(asked.cost)
    preparation = preparation_of(model, judged=False)
    if preparation is not None:
        filling = await exchange.service.compute(
            lambda: picture_to_fill(body, preparation, query.fit, query.n), decoding_size(body, fit=True)
        )
        asked.weight = filling.window.cost
        room.resize(asked.cost)
        asked.arrays = {"items": filling.item, "hidden": np.ascontiguousarray(filling.hidden)}
        return asked, ()
    spec = ItemSpec.of(model)
    item, hidden, notes = await exchange.service.compute(
        lambda: inpainting_of(body, spec, query.fit), decoding_size(body, query.fit)
    )
    asked.arrays = {"items": item, "hidden": np.ascontiguousarray(hidden)}
    return asked, notes


def work_of(query: InpaintParameters, model: ModelInfo, settings: Settings) -> Submit:
    """The message without its id, deadline, task and arrays. Raises WrongValue for what is beyond the settings."""
    bound("n", query.n, settings.max_n)
    bound("steps", query.steps, settings.max_steps)
    if query.method not in defaults.INPAINT_METHODS:
        raise WrongValue(f"method must be one of {', '.join(defaults.INPAINT_METHODS)}", "method")
    return Submit(
        id=0,
        model=model.reference,
        kind="inpaint",
        deadline=0.0,
        n=query.n,
        seed=draw_seed() if query.seed is None else query.seed,
        options=Options(query.temperature, query.method, query.steps, query.step_size),
    )


def numbered(
    asked: Submit, number: int, deadline: float, *, watch: bool = False, task: TaskKey | None = None
) -> Submit:
    """The message as it is sent."""
    asked.id, asked.deadline, asked.watch, asked.task = number, deadline, watch, task
    return asked


def inpainting_forms(model: ModelInfo) -> tuple[str, ...]:
    """Media types in which completions of a model can be sent, the default first."""
    return (*completion_forms(model), EVENTS)


async def completed_answer(
    service: Service, completed: Completed, model: ModelInfo, form: str, notes: Sequence[str] = ()
) -> Response:
    """The completions of an inpainting that has ended, as PNG, npy, JSON or an animation."""
    items = completed.arrays["items"]
    # Animations take longer than their number of bytes tells.
    size = items.nbytes if form not in (WEBP, GIF) else 2**20
    body = await service.compute(lambda: encoded_completions(completed, model, form, notes), size)
    return Answer(body, form, headers_of(model, completed.about.seed))
