"""What docs/protocol.md and docs/keys.md show works as it stands there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.servers import ROOT, Server, serving, wait_until
from tests.service.tables import publish_homes

ADDRESS = "localhost:8000"


def blocks(page: str, language: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs")


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    shutil.copytree(ROOT / "model_store" / "models" / "moons", folder / "store" / "moons")
    publish_homes(folder / "store")  # the table of the page's example
    return folder / "store"


@pytest.fixture(scope="module")
def server(store: Path, folder: Path) -> Iterator[Server]:
    with serving(store, folder / "log") as started:
        yield started


def test_python_of_the_protocol_page(server: Server) -> None:
    code = "\n".join(blocks("protocol.md", "python"))
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(code.replace(ADDRESS, server.address.removeprefix("http://")), {})
    likelihoods, shape, of_homes = told.getvalue().splitlines()
    assert re.fullmatch(r"\[ *-?\d+\.\d+ +-?\d+\.\d+\] \[(False| True) +True\]", likelihoods)
    assert shape == "(16, 2)"
    assert len([float(number) for number in of_homes.strip("[]").split()]) == 2, of_homes


def test_curl_of_the_protocol_page(server: Server) -> None:
    (code,) = blocks("protocol.md", "sh")
    commands = [line for line in re.split(r"\n(?=curl)", code.strip()) if line]
    answers = []
    for command in commands:
        words = shlex.split(command.replace(ADDRESS, server.address))
        done = subprocess.run(
            [*words, "--silent", "--show-error", "--fail"], capture_output=True, check=True, timeout=60
        )
        answers.append(json.loads(done.stdout))
    assert [answer["model_name"] for answer in answers] == ["moons", "moons.sample"]
    assert answers[0]["outputs"][0]["shape"] == [2]
    assert answers[1]["outputs"][0]["shape"] == [16, 2]


def test_commands_of_the_keys_page(store: Path, tmp_path: Path) -> None:
    make, use = blocks("keys.md", "sh")
    where = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    said = make.replace("sluice keys", f"{sys.executable} -m service keys")
    done = subprocess.run(
        ["bash", "-euc", said],
        env={**os.environ, **where},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    key, _, listed, *_ = done.stdout.splitlines()
    assert key.startswith("sluice_")
    assert listed.startswith("laptop  scopes=infer,read")
    file = tmp_path / "sluice-keys.json"
    with serving(store, tmp_path / "log", ready=False, keys_file=file, host="0.0.0.0", default_model="moons") as server:
        wait_until(lambda: server.get("/health/ready") == 200)
        assert server.get("/models") == 401
        for line in use.splitlines():
            if line.startswith("curl"):
                words = shlex.split(line.replace(ADDRESS, server.address).replace("$KEY", key))
                subprocess.run(
                    [*words, "--silent", "--fail"], cwd=tmp_path, capture_output=True, check=True, timeout=60
                )
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
