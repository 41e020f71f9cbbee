"""The commands of docs/own-tables.md, run in their order."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from service.cli import main as sluice
from tests.service.helpers import running
from trainer.commands.train import main as train

PAGE = (Path(__file__).parents[2] / "docs/own-tables.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SCRIPT = next(block for language, block in BLOCKS if language == "python")
COMMANDS = [line for language, block in BLOCKS if not language for line in block.splitlines()]
PROGRAMS = {"sluice-train": train, "sluice": sluice}

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the script of the page was run."""
    path = tmp_path_factory.mktemp("pumps")
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=path, check=True)
    return path


def run(command: str, short: bool = False) -> Result:
    """A command of the page, in this process; ``short`` cuts its training."""
    program, *arguments = shlex.split(command)
    result = CliRunner().invoke(PROGRAMS[program], [*arguments, *(["--epochs", "3"] if short else [])])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def trained(folder: Path) -> Result:
    """The output of the first command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run(next(line for line in COMMANDS if line.startswith("sluice-train")), short=True)


def test_training_tells_what_it_found(trained: Result) -> None:
    shown = [line.rstrip("…").split(", ")[0] for line in COMMANDS if re.match(r"\w+ +(category|time|rounded)", line)]
    assert len(shown) == 4
    for line in shown:
        assert line in trained.output
    assert "left out 'pump': numbers the rows" in trained.output
    assert "published pumps@1" in trained.output


def test_guesses_can_be_overridden(folder: Path, trained: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = run(next(line for line in COMMANDS if "--kind" in line))
    assert "starts     category of 10" in result.output
    assert "left out 'line': the label" in result.output
    assert "left out 'installed': dropped" in result.output


def test_a_file_is_scored_row_by_row(folder: Path, trained: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = run(next(line for line in COMMANDS if line.startswith("sluice score")))
    assert "ignored, since the model has no such column: 'operator'" in result.stderr
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert rows[7]["reason"] == "column 'line' 'east' is not one of north, south"
    scores = {row["item"]: float(row["log_likelihood"]) for row in rows if not row["reason"]}
    assert len(scores) == 19
    assert min(scores, key=lambda item: scores[item]) == "3"


async def test_the_requests_are_answered(folder: Path, trained: Result) -> None:
    async with running(folder / "models") as service:
        answers = [await _curl(service.http, line, folder) for line in COMMANDS if line.startswith("curl")]
    refused, verdict, drawn, completed = answers
    assert refused.status_code == 422
    assert "item 7: column 'line' 'east' is not one of" in refused.json()["detail"]
    assert verdict.json()["items"][0]["log_likelihood"] is not None
    assert len(list(csv.DictReader(drawn.text.splitlines()))) == 3
    assert 9 < completed.json()["items"][0]["pixels"]["current"] < 15


async def _curl(http: httpx.AsyncClient, command: str, folder: Path) -> httpx.Response:
    words = iter(shlex.split(command)[1:])
    headers, body, url = {}, b"", ""
    for word in words:
        if word == "-H":
            name, value = next(words).split(": ")
            headers[name] = value
        elif word in ("-d", "--data-binary"):
            text = next(words)
            body = (folder / text[1:]).read_bytes() if text.startswith("@") else text.encode()
        elif word == "-X":
            assert next(words) == "POST"
        else:
            url = word.removeprefix("http://localhost:8000")
    return await http.post(url, content=body, headers=headers)
