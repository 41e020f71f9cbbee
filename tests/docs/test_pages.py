"""The pages of the client and of the command line: every block of commands and of Python runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from service.cli import main as sluice
from tests.service.servers import Server, serving
from trainer.commands.train import main as sluice_train

ROOT = Path(__file__).parents[2]
MODELS = ("mnist-nice", "moons")
_BLOCK = re.compile(r"^(?P<mark><!-- not run: [^\n]+ -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
_ADDRESS = "127.0.0.1:8000"
WAIT = 120


def blocks(page: Path, kind: str) -> list[str]:
    """The blocks of a page in one language, without those that it marks as not run, with the reason."""
    found = _BLOCK.finditer(page.read_text("utf-8"))
    return [match["text"] for match in found if match["kind"] == kind and not match["mark"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run in: the pictures of the pages, and a store of two models that ship."""
    found = tmp_path_factory.mktemp("pages")
    for name in MODELS:
        shutil.copytree(ROOT / "model_store/models" / name, found / "store" / name)
    (found / "docs").mkdir()
    for name in ("digit.png", "mask.png"):
        shutil.copy2(ROOT / "docs" / name, found / "docs")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder / "store", folder / "log", default_model="mnist-nice") as running:
        yield running


def run_command(line: str) -> None:
    """Run one line of a shell in this process, which has imported torch already; `>` and `||` are all that it knows."""
    words = shlex.split(line, comments=True)
    words, otherwise = _cut(words, "||")
    words, redirected = _cut(words, ">")
    result = CliRunner().invoke(_COMMANDS[words[0]], words[1:], prog_name=words[0])
    assert result.exit_code == 0 or (otherwise and result.exit_code == 3), (
        f"{line}\n{result.output}{result.exception!r}"
    )
    if redirected:
        Path(redirected[0]).write_bytes(result.stdout_bytes)


_COMMANDS: dict[str, click.Command] = {"sluice": sluice, "sluice-train": sluice_train}


def _cut(words: list[str], sign: str) -> tuple[list[str], list[str]]:
    """The words before and after a sign."""
    place = words.index(sign) if sign in words else len(words)
    return words[:place], words[place + 1 :]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", ["docs/client.md", "client/README.md", "README.md"])
def test_the_python_of_a_page_runs(folder: Path, server: Server, page: str) -> None:
    found = blocks(ROOT / page, "python")
    assert found
    text = "\n".join(found).replace(_ADDRESS, server.address.removeprefix("http://"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run(
        [sys.executable, "-"], cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=WAIT
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(240)
def test_the_commands_of_the_page_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SLUICE_STORE", str(folder / "store"))
    monkeypatch.setenv("SLUICE_DEVICE", "cpu")
    found = blocks(ROOT / "docs/command-line.md", "bash")
    assert len(found) >= 4
    for line in "".join(found).splitlines():
        run_command(line)
    made = {path.name for path in folder.iterdir()}
    assert {"grid.png", "points.npy", "whole.png", "search.gif", "manifest.json", "moons.zip"} <= made


def test_the_commands_and_the_python_of_bulk_runs_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SLUICE_STORE", str(folder / "store"))
    monkeypatch.setenv("SLUICE_DEVICE", "cpu")
    np.save("points.npy", np.zeros((9, 2), np.float32))
    (commands,) = blocks(ROOT / "docs/bulk.md", "bash")
    for line in commands.splitlines():
        run_command(line)
    (text,) = blocks(ROOT / "docs/bulk.md", "python")
    done = subprocess.run([sys.executable, "-"], cwd=folder, input=text, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr


def test_the_config_of_the_page_publishes(folder: Path, tmp_path: Path) -> None:
    import json

    import torch

    from flows import build
    from model_store import Store, publish_weights
    from model_store.weights import flow_to_bytes

    (text,) = blocks(ROOT / "docs/command-line.md", "json")
    config = json.loads(text)["architecture"]
    torch.manual_seed(0)
    source = tmp_path / "mine"
    source.mkdir()
    (source / "config.json").write_text(text)
    (source / "model.safetensors").write_bytes(
        flow_to_bytes(build(config["name"], (2,), config["arguments"]), "float32")
    )
    assert publish_weights(Store(tmp_path / "store"), source, "mine").version == 1


def test_every_command_is_on_the_page() -> None:
    page = (ROOT / "docs/command-line.md").read_text("utf-8")
    assert all(f"`{name}" in page for name in sluice.list_commands(click.Context(sluice)))
