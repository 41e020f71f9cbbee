"""POST /v2/repository/models/{name}/load and /unload: administration, in the words of the Open Inference Protocol."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from service.api.dependencies import TheService
from service.api.operations import problems
from service.protocol.errors import Forbidden, NotAuthenticated, Unavailable
from service.protocol.messages import Load, Told, Unload
from service.settings import UnusableToken

logger = logging.getLogger("sluice")

_bearer = HTTPBearer(auto_error=False, description="The token in the file that SLUICE_ADMIN_TOKEN_FILE names")


async def administrator(
    request: Request,
    service: TheService,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Raises NotAuthenticated for anybody but the administrator, Forbidden where nobody may administer.

    The token is read at each call, so that another takes its place without a restart. An API key that got this far has
    the scope of administration.
    """
    if "api_key" in request.scope:
        return
    if credentials is None:
        raise NotAuthenticated("administration asks for a bearer token")
    try:
        token = service.settings.admin_token()
    except UnusableToken as error:
        logger.error("%s", error)
        raise Unavailable("the administrator's token cannot be read at present; the log says why") from error
    if token is None and service.authority is not None:
        raise NotAuthenticated("administration asks for an API key with the scope admin")
    if token is None:
        raise Forbidden("this service has no administrator: it was started without SLUICE_ADMIN_TOKEN_FILE")
    if not hmac.compare_digest(_hash(credentials.credentials), _hash(token.get_secret_value())):
        raise NotAuthenticated("the token is not that of the administrator", supplied=True)


def _hash(token: str) -> bytes:
    """Of the same length for every token: comparing two tells nothing about either."""
    return hashlib.sha256(token.encode()).digest()


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
async def load(name: str, service: TheService) -> Loaded:
    """Load the store's current default version of a name with every check, warm it up, and let it serve.

    Requests that run finish on the version that they began with. A version that fails a check is refused with 422, and
    the one that serves goes on. A body is not looked at: what is loaded, and how, is the store's to say.
    """
    told: Told = await service.device.ask(lambda number: Load(number, name))
    return Loaded(model=told.data.decode())


@router.post("/unload")
async def unload(name: str, service: TheService) -> Unloaded:
    """Serve a name no longer; requests that run finish."""
    await service.device.ask(lambda number: Unload(number, name))
    return Unloaded(name=name)
