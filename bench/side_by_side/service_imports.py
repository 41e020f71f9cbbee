"""What the bare loop takes from the service, to encode pictures exactly as the service does."""

from __future__ import annotations

from service.grid import grid
from service.pictures import to_png

__all__ = ["grid", "to_png"]
