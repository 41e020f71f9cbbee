"""What the log of every process looks like. All of them write to the same standard error."""

from __future__ import annotations

import logging


def log_as(process: str) -> None:
    """Log messages of level INFO and above to standard error, each with the name of this process."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s {process}: %(message)s")
