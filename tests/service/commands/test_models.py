"""`sluice models show`: the card in the terminal, the manifest for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from flows import build
from model_store import Publication, Report, Store, publish
from service.cli import main
from tests.service.helpers import publish_small


def test_the_card_is_printed_and_the_manifest_with_json(tmp_path: Path) -> None:
    publish_small(tmp_path, "points", (2,))
    runner = CliRunner()
    for arguments in (
        ["models", "show", "points", "--store", str(tmp_path)],
        ["models", "--store", str(tmp_path), "show", "points@1"],
    ):
        shown = runner.invoke(main, arguments)
        assert shown.exit_code == 0
        assert shown.output == "# points\n"
    written = runner.invoke(main, ["models", "show", "points", "--json"], env={"SLUICE_STORE": str(tmp_path)}).output
    assert json.loads(written) == json.loads(Store(tmp_path).manifest_bytes("points", 1))


def test_a_card_cannot_steer_the_terminal_and_names_its_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    publication = Publication(
        flow=build("nice", (2,), {"hidden": [4], "couplings": 2, "image": False}),
        architecture="nice",
        arguments={"hidden": [4], "couplings": 2, "image": False},
        golden_items=torch.randn(2, 2),
        report=Report(card="# A\x1b]0;mine\x07\n\n![Draws at 0.7](samples.png)\n\tgrün\n"),
    )
    publish(tmp_path, "points", publication)
    shown = CliRunner().invoke(main, ["models", "show", "points", "--store", str(tmp_path)])
    assert shown.output == "# A]0;mine\n\n[picture samples.png: Draws at 0.7]\n\tgrün\n"


def test_a_model_that_is_not_there_or_whose_card_is_damaged_is_told(tmp_path: Path) -> None:
    publish_small(tmp_path, "points", (2,))
    runner, store = CliRunner(), ["--store", str(tmp_path)]
    assert runner.invoke(main, ["models", "show", "nobody", *store]).exit_code == 1
    (tmp_path / "points/1/README.md").write_text("# Points\n")
    damaged = runner.invoke(main, ["models", "show", "points", *store])
    assert damaged.exit_code == 1
    assert "sha256 of README.md" in damaged.output
    assert runner.invoke(main, ["models", "--store", str(tmp_path / "absent")]).output == ""


@pytest.mark.parametrize("name", ["a-name-of-a-model.that-is_quite.long-for-a-column-and-for-a-list.64c"])
def test_no_name_is_cut(tmp_path: Path, name: str) -> None:
    publish_small(tmp_path, name[:64], (2,))
    listed = CliRunner().invoke(main, ["models", "--store", str(tmp_path)], env={"COLUMNS": "20"}).output
    assert listed == f"{name[:64]}@1  default\n"
