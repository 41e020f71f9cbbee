"""What enters the build of the image: every package of the wheel, which a machine without an engine can tell too."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = [pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_of_the_wheel_is_copied_into_the_build(package: str) -> None:
    assert f"COPY {package} {package}" in (ROOT / "docker/Dockerfile").read_text("utf-8").splitlines()
    assert f"!{package}" in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
