"""POST /v2/repository/models/{name}/load and /unload: administration, in the words of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import hmac
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from service.errors import Forbidden, NotAuthenticated
from service.routes.common import TheEngine, problems

_bearer = HTTPBearer(auto_error=False, description="The token in the file that SLUICE_ADMIN_TOKEN_FILE names")


async def administrator(
    engine: TheEngine, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Raises Forbidden where nobody may administer, NotAuthenticated for anybody but the administrator."""
    if engine.admin_token is None:
        raise Forbidden("this service has no administrator: it was started without SLUICE_ADMIN_TOKEN_FILE")
    sent = "" if credentials is None else credentials.credentials
    if not hmac.compare_digest(sent.encode(), engine.admin_token.get_secret_value().encode()):
        raise NotAuthenticated(supplied=credentials is not None)


router = APIRouter(
    prefix="/v2/repository/models/{name}",
    tags=["administration"],
    dependencies=[Depends(administrator)],
    responses=problems(401, 403),
)


class Loaded(BaseModel):
    model: str
    """`name@version` of what serves now."""


class Unloaded(BaseModel):
    name: str


@router.post("/load")
async def load(name: str, engine: TheEngine) -> Loaded:
    """Load the store's current default version of a name with every check, warm it up, and let it serve.

    Requests that run finish on the version that they began with. A version that fails a check is refused with 422, and
    the one that serves goes on. A body is not looked at: what is loaded, and how, is the store's to say.
    """
    return Loaded(model=(await asyncio.to_thread(engine.registry.load, name)).reference)


@router.post("/unload")
async def unload(name: str, engine: TheEngine) -> Unloaded:
    """Serve a name no longer; requests that run finish."""
    await asyncio.to_thread(engine.registry.unload, name)
    return Unloaded(name=name)
