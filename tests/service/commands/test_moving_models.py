"""`sluice push`, `pull` and `publish` through the command line. What they refuse is tested with the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from flows import build
from model_store import Store
from model_store.weights import flow_to_bytes
from service.cli import main
from tests.service.helpers import publish_small

ARGUMENTS = {"hidden": [8], "couplings": 2, "image": False}


def sluice(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("layout", ["sluice", "huggingface"])
def test_a_model_goes_to_an_archive_and_into_another_store(tmp_path: Path, layout: str) -> None:
    publish_small(tmp_path / "here", "digits", (8, 8))
    archive = tmp_path / "digits.zip"
    sent = sluice("push", "digits@default", archive, "--layout", layout, "--store", tmp_path / "here")
    assert sent.exit_code == 0, sent.output
    assert sent.output.startswith("digits@1: ")
    came = sluice("pull", archive, "--name", "numbers", "--store", tmp_path / "there", "--json")
    assert json.loads(came.output) == {"name": "numbers", "version": 1, "path": str(tmp_path / "there/numbers/1")}
    assert sluice("verify", "numbers", "--store", tmp_path / "there").exit_code == 0
    again = sluice("push", "digits", archive, "--store", tmp_path / "here")
    assert again.exit_code == 1
    assert "already" in again.output


def test_push_tells_programs_what_it_wrote(tmp_path: Path) -> None:
    publish_small(tmp_path / "here", "digits", (8, 8))
    told = json.loads(sluice("push", "digits", tmp_path / "out", "--store", tmp_path / "here", "--json").output)
    assert told["reference"] == "digits@1"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == told["files"]


def test_a_refused_model_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    publish_small(tmp_path / "here", "digits", (8, 8))
    sluice("push", "digits", tmp_path / "out", "--store", tmp_path / "here")
    (tmp_path / "out/README.md").write_text("# Digits\n")
    refused = sluice("pull", tmp_path / "out", "--store", tmp_path / "there")
    assert refused.exit_code == 1
    assert "sha256 of README.md" in refused.output
    assert not (tmp_path / "there").exists()


def test_weights_of_ones_own_are_published_and_answer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow = build("nice", (2,), ARGUMENTS)
    source = tmp_path / "mine"
    source.mkdir()
    (source / "model.safetensors").write_bytes(flow_to_bytes(flow, "float32"))
    config = {"architecture": {"name": "nice", "arguments": ARGUMENTS}, "item": {"shape": [2], "dtype": "float32"}}
    (source / "config.json").write_text(json.dumps(config))
    points = np.random.default_rng(0).standard_normal((20, 2))
    np.save(tmp_path / "golden.npy", points)
    done = sluice(
        "publish", source, "--name", "my-flow", "--golden", tmp_path / "golden.npy", "--store", tmp_path / "s"
    )
    assert done.exit_code == 0, done.output
    assert Store(tmp_path / "s").load("my-flow", 1).manifest.golden.count == 20
    told = sluice("publish", source, "--name", "my-flow", "--store", tmp_path / "s", "--json")
    assert json.loads(told.output)["version"] == 2
    scored = sluice("score", tmp_path / "golden.npy", "--store", tmp_path / "s", "--json", "--device", "cpu")
    found = [json.loads(line)["log_likelihood"] for line in scored.stdout.splitlines()]
    expected = flow.log_prob(torch.from_numpy(points.astype(np.float32)))
    assert found == pytest.approx(expected.tolist(), rel=1e-5)
    (tmp_path / "words.npy").write_bytes(b"words")
    bad = sluice("publish", source, "--name", "my-flow", "--golden", tmp_path / "words.npy", "--store", tmp_path / "s")
    assert bad.exit_code == 1
    assert "words.npy: not a readable npy array" in bad.output
