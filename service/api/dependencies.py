"""What FastAPI hands to the routes that it resolves itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.api.service import Service


async def service_of(request: Request) -> Service:
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]
