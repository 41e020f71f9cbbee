"""Parameters that several routes take, and the checks and OpenAPI texts that belong to them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pictures import Preparation
from service.api.bodies import read_body
from service.api.guard import Exchange
from service.api.operations import ID, Parameters
from service.media.any_pictures import SentPictures, pictures_of
from service.media.items import Body, ItemSpec, Sent, sent_of
from service.media.types import CSV, JPEG, JSON, MULTIPART, NPY, PNG
from service.protocol.defaults import LARGEST_SEED
from service.protocol.errors import TooLarge, WrongValue
from service.protocol.messages import picture_cost
from service.protocol.model_info import ModelInfo
from service.protocol.queue import Reservation

Model = Annotated[str | None, Field(description="`name`, `name@version` or `name@alias`; the default if absent")]
Seed = Annotated[int | None, Field(ge=0, le=LARGEST_SEED, description="The same seed, the same answer")]
Fit = Annotated[bool, Field(description="Convert a picture of another size or mode instead of refusing it")]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]

BINARY = {"type": "string", "format": "binary"}
ITEM_TYPES = (PNG, JPEG, MULTIPART, NPY, JSON, CSV)
ITEMS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            PNG: {"schema": BINARY},
            JPEG: {"schema": BINARY},
            MULTIPART: {"schema": {"type": "object", "properties": {"files": {"type": "array", "items": BINARY}}}},
            NPY: {"schema": BINARY},
            JSON: {
                "schema": {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}},
                "examples": {
                    "points": {"summary": "two points of a 2-D model", "value": {"items": [[0.5, 1], [2, 0]]}},
                    "rows": {
                        "summary": "a row of a table's model, by column name",
                        "value": {"items": [{"height": 171.5, "colour": "red", "rooms": None}]},
                    },
                },
            },
            CSV: {"schema": {"type": "string"}},
        },
    }
}


class ItemParameters(Parameters):
    """What every operation on items takes."""

    model: Model = None
    seed: Seed = None
    fit: Fit = False


def binary(*types: str) -> dict[str, Any]:
    """OpenAPI of an answer in several binary representations."""
    return {"content": {kind: {"schema": BINARY} for kind in types}}


async def items_sent(
    exchange: Exchange, model: ModelInfo, room: Reservation, fit: bool, skip_bad: bool = False
) -> Sent:
    """The body's items: admitted by a bound on their number first, decoded then."""
    most, spec = exchange.service.settings.max_items, ItemSpec.of(model)
    body = await read_body(exchange, ITEM_TYPES, most)
    if body.type in (JSON, CSV):  # only a bound is known: what the queue must hold, not what the request is refused for
        room.resize(min(body.most_items(spec.shape), most))
    else:
        make_room(room, body.most_items(spec.shape), most)
    sent = await exchange.service.compute(lambda: sent_of(body, spec, fit, most, skip_bad), decoding_size(body, fit))
    make_room(room, len(sent.items), most)
    return sent


async def pictures_sent(exchange: Exchange, preparation: Preparation, room: Reservation, fit: bool) -> SentPictures:
    """The body's pictures of any size: admitted by their number first, and by their pixels once they are decoded."""
    most = exchange.service.settings.max_items
    body = await read_body(exchange, ITEM_TYPES, most)
    make_room(room, len(body.parts), most)
    found = await exchange.service.compute(
        lambda: pictures_of(body, preparation, fit, most), decoding_size(body, fit=True)
    )
    make_room(room, len(found.items), most)
    room.resize(picture_cost(found.sides))
    return found


def make_room(room: Reservation, items: int, most: int) -> None:
    """Hold room for items to score, encode or decode. Raises TooLarge, QueueFull."""
    if items > most:
        raise TooLarge(f"at most {most} items are taken in one request", "items")
    room.resize(items)


def decoding_size(body: Body, fit: bool) -> int:
    """Bytes that decoding a body is worth: a small file may unfold into a large picture where any size is taken."""
    return body.size if not fit else max(body.size, 2**20)


def checked_id(text: str) -> str:
    """Raises WrongValue for what cannot be the id of an inpainting."""
    if not ID.fullmatch(text):
        raise WrongValue("id: 1 to 64 letters, digits, '_' and '-'", "id")
    return text
