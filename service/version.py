"""The version that the service tells of itself."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """That of the installed distribution; "0" where the code runs from a tree that is not installed."""
    try:
        return version("sluice")
    except PackageNotFoundError:
        return "0"
