"""What the benchmark takes from the service: how pictures are encoded, and how API keys are made."""

from __future__ import annotations

from service.keys import create as create_key
from service.media.grids import grid
from service.media.pictures import to_png

__all__ = ["create_key", "grid", "to_png"]
