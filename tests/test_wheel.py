"""The wheel: what it carries, and that it serves without the repository."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

# One worker of pytest-xdist builds and installs the wheel, once.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "model_store", "pictures", "service", "tables", "trainer")
WAIT = 120
"""Seconds until a process has done its work, on a busy machine."""

# One thread of an operation: threads that spin for each other take minutes to load every model beside other tests.
_BARE = {"OMP_NUM_THREADS": "1"}
"""The environment of `sluice serve`: nothing of the tests' own, so no PYTHONPATH and no settings."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built in a copy: a build leaves `build/` and `*.egg-info` behind."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    wheels = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))
    (built,) = wheels.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that has the wheel, and its dependencies from the environment of the tests."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=WAIT)
    python = environment / "bin/python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    (packages,) = environment.glob("lib/python*/site-packages")
    # A path in a .pth file comes after the environment's own packages and brings no .pth files of its own, so the
    # editable installation of the repository stays outside.
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in site_packages()))
    return python


def site_packages() -> list[str]:
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def serving(python: Path, folder: Path) -> Iterator[str]:
    """The address of `sluice serve`, started in an empty folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python.with_name("sluice")), "serve", "--port", str(port), "--device", "cpu"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=_BARE, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def wait_until_ready(address: str, log: Path) -> httpx.Response:
    end = time.monotonic() + WAIT
    while True:
        try:
            answer = httpx.get(f"{address}/health/ready", timeout=WAIT)
            if answer.status_code == 200:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def test_the_wheel_carries_the_licence_the_page_and_every_file_of_the_models_that_ship(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    tracked = subprocess.run(
        ["git", "ls-files", "model_store/models"], cwd=ROOT, capture_output=True, text=True, timeout=WAIT, check=False
    ).stdout.split()
    page = [str(path.relative_to(ROOT)) for path in (ROOT / "service/page").rglob("*.*") if path.suffix != ".md"]
    assert "service/page/tabs/score.js" in page
    assert set(page) <= names
    shipped = tracked or [str(path.relative_to(ROOT)) for path in (ROOT / "model_store/models").rglob("*.*")]
    assert set(shipped) <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nVersion: {version}\n" in metadata


def test_the_wheel_holds_only_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_an_installed_wheel_is_what_is_imported(installed: Path, tmp_path: Path) -> None:
    code = "import flows, model_store, service, trainer; print(flows, model_store, service, trainer, sep='\\n')"
    done = subprocess.run([installed, "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    environment = str(installed.parents[1])
    assert all(environment in line for line in done.stdout.splitlines()), done.stdout


def test_an_installed_wheel_serves_the_models_that_ship(installed: Path, tmp_path: Path) -> None:
    with serving(installed, tmp_path) as address:
        wait_until_ready(address, tmp_path / "log")
        answer = httpx.post(f"{address}/sample", params={"n": 4, "seed": 1}, timeout=WAIT)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
