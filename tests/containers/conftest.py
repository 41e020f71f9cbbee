"""The tests that need a Docker engine run when `make test-containers` asks for them; the others always do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.stack import ROOT, Stack, base_argument, run

ENGINE_NEEDED = ["test_container.py", "test_image.py", "test_stack.py", "test_stack_gpu.py"]
collect_ignore = [] if os.environ.get("SLUICE_TEST_CONTAINERS") else ENGINE_NEEDED


@pytest.fixture(scope="session")
def cpu_image() -> str:
    """The image that the compose file builds."""
    run("docker", "compose", "build", *base_argument())
    return "sluice:cpu"


@pytest.fixture(scope="session")
def stack(cpu_image: str) -> Iterator[Stack]:
    """The whole compose file, up and healthy."""
    stack = Stack("sluice-test")
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def cuda_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The CUDA image, of the package index's own torch even where the base image prefers other wheels."""
    base = os.environ.get("BASE_IMAGE") or run("sed", "-n", "s/^ARG BASE_IMAGE=//p", "docker/Dockerfile").strip()
    context = tmp_path_factory.mktemp("base")
    (context / "Dockerfile").write_text(f"FROM {base}\nENV PIP_FIND_LINKS=\n")
    run("docker", "build", "--tag", "sluice-test:base", str(context))
    return _build("sluice:cuda", ROOT, "--build-arg", "BASE_IMAGE=sluice-test:base")


def _build(tag: str, context: Path, *arguments: str) -> str:
    run("docker", "build", "--file", "docker/Dockerfile", "--tag", tag, *arguments, str(context), cwd=context)
    return tag
