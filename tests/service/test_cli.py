"""The command line: listing, verifying, and options that are refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from tests.service.helpers import publish_small


def test_the_store_can_be_listed_and_verified(tmp_path: Path) -> None:
    for _ in range(2):
        publish_small(tmp_path, "points", (2,))
    runner = CliRunner()
    assert runner.invoke(main, ["models", "--store", str(tmp_path)]).output == "points@1\npoints@2  default\n"
    good = runner.invoke(main, ["verify", "--store", str(tmp_path)])
    assert good.exit_code == 0
    assert "points@1" in good.output
    weights = tmp_path / "points" / "2" / "model.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    assert runner.invoke(main, ["verify", "points@1", "--store", str(tmp_path)]).exit_code == 0
    bad = runner.invoke(main, ["verify", "--store", str(tmp_path)])
    assert bad.exit_code == 1
    assert "sha256" in bad.output
    assert runner.invoke(main, ["verify", "nobody", "--store", str(tmp_path)]).exit_code == 1


@pytest.mark.parametrize(
    "arguments", [["serve", "--port", "99999"], ["serve", "--device", "abacus"], ["score"], ["nothing"]]
)
def test_a_wrong_option_is_refused_before_anything_starts(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_every_command_is_listed_and_explains_itself() -> None:
    runner = CliRunner()
    listed = runner.invoke(main, ["--help"]).output
    for command in ("serve", "models", "verify", "score"):
        assert command in listed
        assert runner.invoke(main, [command, "--help"]).exit_code == 0
    assert runner.invoke(main, ["--version"]).exit_code == 0
