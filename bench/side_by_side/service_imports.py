"""What the bare loop takes from the service, to encode pictures exactly as the service does."""

from __future__ import annotations

from service.media.grids import grid
from service.media.pictures import to_png

__all__ = ["grid", "to_png"]
