"""An answer whose body is known: what Starlette's Response does, for answers that are frequent and plain."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.protocol.model_info import ModelInfo


class Answer(Response):
    """A body with its media type. ``headers`` must be ASCII."""

    def __init__(
        self, body: bytes, media_type: str | None = None, headers: Mapping[str, str] | None = None, status: int = 200
    ) -> None:
        self.status_code, self.body, self.media_type = status, body, media_type
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body))]
        if media_type is not None:
            self.raw_headers.append((b"content-type", media_type.encode("latin-1")))
        for name, value in (headers or {}).items():
            self.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def headers_of(model: ModelInfo, seed: int | None = None) -> dict[str, str]:
    """What every answer tells about itself: the model that made it, and the seed that makes it again."""
    headers = {"X-Sluice-Model": model.reference, "Vary": "Accept"}
    if seed is not None:
        headers["X-Sluice-Seed"] = str(seed)
    return headers
