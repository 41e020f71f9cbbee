"""The image: small for what it is, and nothing in it that a service does not need."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.containers.stack import ROOT, base_argument, run

GIGABYTE = 1e9
CPU_LIMIT = 1.6 * GIGABYTE
CUDA_MARGIN = 0.4 * GIGABYTE

WEIGH = """
import os, re
from importlib.metadata import PackageNotFoundError, distribution

def size(file):
    if file.size is not None:  # as published; what pip compiled is weighed where it lies
        return file.size
    path = file.locate()
    return os.path.getsize(path) if os.path.exists(path) else 0

total, todo, seen = 0, ["torch"], set()
while todo:
    name = todo.pop()
    try:
        found = distribution(name)
    except PackageNotFoundError:  # of another platform
        continue
    if found.name in seen:
        continue
    seen.add(found.name)
    total += sum(map(size, found.files))
    todo += [re.match(r"[\\w.-]+", need).group() for need in found.requires or []]
print(total)
"""
"""Prints the bytes on disk of torch's wheel and of all that it requires."""

WHEELS = """
import os, sys
print(sum(os.path.getsize(os.path.join(top, file)) for top, _, files in os.walk(sys.argv[1]) for file in files))
"""
"""Prints the bytes of a folder of wheels to install from, which some base images carry and a registry's does not."""


def inspect(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("docker", "image", "inspect", image))[0]
    return found


def python(image: str, code: str, *arguments: str) -> str:
    return run("docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", code, *arguments)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Writes past pytest's capture: the figures are asked for, passed or failed."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return write


def test_the_cpu_image_is_at_most_1600_megabytes(cpu_image: str, tell: Callable[[str], None]) -> None:
    size = inspect(cpu_image)["Size"]
    tell(f"{cpu_image}: {size / GIGABYTE:.2f} GB")
    assert size <= CPU_LIMIT


def test_the_cpu_image_has_a_torch_without_cuda(cpu_image: str) -> None:
    assert python(cpu_image, "import torch; print(torch.version.cuda)").strip() == "None"


def test_the_image_runs_as_nobody_in_particular_and_stops_on_sigterm(cpu_image: str) -> None:
    config = inspect(cpu_image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["sluice"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
    assert labels["title"] == "Sluice"
    assert labels["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_environment_is_that_of_the_lock_and_holds_no_installer(cpu_image: str) -> None:
    listing = python(
        cpu_image,
        "from importlib.metadata import distributions as all\n"
        "print(*(f'{d.name}=={d.version}'.lower() for d in all(path=__import__('sys').path[-1:])), sep='\\n')",
    )
    installed = {line.split("+")[0].replace("_", "-") for line in listing.split()}
    locks = [ROOT / "requirements.lock", ROOT / "docker/torch.lock"]
    locked = {line.lower().replace("_", "-") for lock in locks for line in lock.read_text().split("\n") if "==" in line}
    assert installed <= locked
    assert {name.partition("==")[0] for name in installed} >= {"torch", "fastapi", "uvicorn"}


def test_no_secret_is_baked_in(cpu_image: str) -> None:
    found = python(cpu_image, "import os; print([f for _, _, files in os.walk('/secrets') for f in files])")
    assert found.strip() == "[]"
    assert not any("TOKEN" in word or "PASSWORD" in word for word in inspect(cpu_image)["Config"]["Env"])


def test_nothing_of_the_repository_but_what_serves_and_trains_is_in_the_image(cpu_image: str) -> None:
    code = """
import os
print(*sorted(name for name in os.listdir("/opt/sluice") if "." not in name))
for top, folders, _ in os.walk("/"):
    if top == "/":
        folders[:] = set(folders) - {"proc", "sys", "usr"}
    folders[:] = set(folders) - {"site-packages"}
    print(*(f"{top}/{name}" for name in {".git", "bench", "tests"} & set(folders)), sep="\\n", end="")
print(os.path.exists("/opt/sluice/model_store/models"), os.path.exists("/src"))
"""
    folders, *others = python(cpu_image, code).splitlines()
    assert folders.split() == ["bin", "flows", "model_store", "pictures", "service", "tables", "trainer"]
    assert others == ["False False"]


def test_a_changed_line_of_code_changes_the_last_layer_alone(cpu_image: str, tmp_path: Path) -> None:
    for name in ("docker", "flows", "model_store", "pictures", "tables", "trainer", "service"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock", ".dockerignore"):
        shutil.copy2(ROOT / name, tmp_path)
    with (tmp_path / "service/__init__.py").open("a") as file:
        file.write("# a change\n")
    cpu = json.loads(run("docker", "compose", "config", "--format", "json"))["services"]["sluice"]["build"]["args"]
    arguments = [word for name, value in cpu.items() for word in ("--build-arg", f"{name}={value}")]
    run(
        "docker",
        "build",
        "-f",
        "docker/Dockerfile",
        "-t",
        "sluice-test:change",
        *arguments,
        *base_argument(),
        ".",
        cwd=tmp_path,
    )
    try:
        before, after = (inspect(image)["RootFS"]["Layers"] for image in (cpu_image, "sluice-test:change"))
    finally:
        run("docker", "image", "rm", "sluice-test:change")
    differing = [one != other for one, other in zip(before, after, strict=True)]
    assert sum(differing) == 1
    assert not any(differing[:-2])  # after the code comes only the working directory


@pytest.mark.timeout(1200)
def test_the_cuda_image_is_what_torch_needs_and_400_megabytes(cuda_image: str, tell: Callable[[str], None]) -> None:
    torch = int(python(cuda_image, WEIGH))
    folder = dict(word.split("=", 1) for word in inspect("sluice:cpu")["Config"]["Env"]).get("PIP_FIND_LINKS")
    wheels = int(python(cuda_image, WHEELS, folder)) if folder else 0
    size = inspect(cuda_image)["Size"] - wheels
    aside = f" beside {wheels / GIGABYTE:.2f} GB of the base image's wheels" if wheels else ""
    tell(f"{cuda_image}: {size / GIGABYTE:.2f} GB{aside}; torch's wheels take {torch / GIGABYTE:.2f} GB")
    assert python(cuda_image, "import torch; print(torch.version.cuda)").startswith("13.")
    assert size <= torch + CUDA_MARGIN
