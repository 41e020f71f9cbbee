"""The version that the service tells of itself."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import pytest

from service.version import own_version


def test_it_is_that_of_the_installed_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_version() == version("sluice")

    def missing(name: str) -> NoReturn:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("service.version.version", missing)
    assert own_version() == "0", "the code runs from a tree that is not installed"
