"""The commands of docs/own-pictures.md, run in their order."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from service.cli import main as sluice
from tests.service.helpers import running
from trainer.commands.train import main as train
from trainer.presets.pictures import PICTURES

PAGE = (Path(__file__).parents[2] / "docs/own-pictures.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SCRIPT = next(block for language, block in BLOCKS if language == "python")
COMMANDS = [line for language, block in BLOCKS if not language for line in block.splitlines()]
TINY = {"width": 4, "blocks": 1, "components": 2, "joint": True, "anywhere": True}

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def command(start: str) -> list[str]:
    """The words of the page's command that starts so, without its program."""
    return shlex.split(next(line for line in COMMANDS if line.startswith(start)))[1:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the script of the page was run."""
    path = tmp_path_factory.mktemp("cloth")
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=path, check=True)
    return path


@pytest.fixture(scope="module")
def trained(folder: Path) -> Result:
    """The output of the training command, with a tiny net and one step in place of minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("trainer.commands.train_pictures.PICTURES", replace(PICTURES, arguments=TINY))
        patch.setattr("trainer.pictures.folds._CHECKED", 4)
        words = command("sluice-train")
        place = words.index("--minutes")
        result = CliRunner().invoke(train, [*words[:place], *words[place + 2 :], "--steps", "1"])
    assert result.exit_code == 0, result.output
    return result


def test_training_says_what_it_found_and_will_do(trained: Result) -> None:
    shown = next(block for language, block in BLOCKS if not language and block.startswith("good: 60"))
    for line in shown.splitlines():
        assert line.split("…")[0] in trained.output
    assert "published cloth@1" in trained.output


def test_a_folder_is_scored_with_maps(folder: Path, trained: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(sluice, command("sluice score"))
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert all({"p_value", "anomalous", "regions"} <= row.keys() for row in rows)
    assert len(list((folder / "maps").glob("*.png"))) == len(list((folder / "maps").glob("*.npy"))) == 12


async def test_the_service_answers_the_page_s_requests(folder: Path, trained: Result) -> None:
    assert command("sluice serve") == ["serve", "--store", "models", "--port", "8000"]
    async with running(folder / "models", threads=1) as service:
        for line in (line for line in COMMANDS if line.startswith("curl")):
            words = shlex.split(line)
            headers = dict(words[k + 1].split(": ") for k, word in enumerate(words) if word == "-H")
            body = (folder / words[words.index("--data-binary") + 1].removeprefix("@")).read_bytes()
            address = urlsplit(f"http://{words[2]}")
            answer = await service.http.post(f"{address.path}?{address.query}", content=body, headers=headers)
            assert answer.status_code == 200
            if headers.get("accept") == "image/png":
                assert np.asarray(Image.open(io.BytesIO(answer.content))).ndim == 3
            else:
                assert answer.json()["items"][0]["p_value"] > 0
        told = (await service.http.get("/models/cloth")).json()
        assert told["any_size"]["longest"] == 256
        assert told["calibration"]["reference"] == told["map"]["reference"] == 60
