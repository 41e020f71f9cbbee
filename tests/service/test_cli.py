"""The command line: listing, verifying, and options that are refused before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


def test_every_command_is_listed_and_explains_itself_with_examples_and_exit_codes() -> None:
    runner = CliRunner()
    listed = runner.invoke(main, ["--help"]).output
    for command in (
        "serve",
        "models",
        "sample",
        "score",
        "inpaint",
        "verify",
        "publish",
        "pull",
        "push",
        "keys",
        "bench",
    ):
        assert f"\n  {command} " in listed
        told = runner.invoke(main, [command, "--help"])
        assert told.exit_code == 0
        assert f"\n  sluice {command}" in told.output.partition("Examples:")[2]
        codes = told.output.partition("Exit codes:")[2]
        assert all(f"\n  {code}" in codes for code in (0, 1, 2, 130))
    for group, command in (("models", "show"), ("keys", "create"), ("keys", "list"), ("keys", "revoke")):
        explained = runner.invoke(main, [group, command, "--help"]).output
        assert f"\n  sluice {group} {command}" in explained.partition("Examples:")[2]
        assert all(f"\n  {code}" in explained.partition("Exit codes:")[2] for code in (0, 1, 2, 130))
    assert runner.invoke(main, ["--version"]).exit_code == 0


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`sluice` in a process of its own."""
    variables = {**os.environ, **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


def test_help_imports_neither_torch_nor_the_service() -> None:
    heavy = "{'torch', 'fastapi', 'numpy', 'pydantic', 'model_store', 'flows'}"
    for arguments in ([], ["score"], ["sample"], ["inpaint"], ["publish"], ["serve"], ["models"], ["bench"]):
        code = (
            "import sys; from service.cli import main\n"
            f"main({[*arguments, '--help']!r}, standalone_mode=False)\n"
            f"print('heavy:', sorted({heavy} & set(sys.modules)))"
        )
        told = _run("-c", code)
        assert told.stdout.endswith("heavy: []\n"), told.stdout[-200:] + told.stderr


def test_a_shell_completes_commands_and_options() -> None:
    code = "from service.cli import main; main(prog_name='sluice')"
    script = _run("-c", code, _SLUICE_COMPLETE="bash_source")
    assert "_SLUICE_COMPLETE=bash_complete" in script.stdout
    words = {"COMP_WORDS": "sluice s", "COMP_CWORD": "1"}
    found = _run("-c", code, _SLUICE_COMPLETE="bash_complete", **words)
    assert found.stdout.split() == ["plain,serve", "plain,sample", "plain,score", "plain,sign"]
    words = {"COMP_WORDS": "sluice sample --te", "COMP_CWORD": "2"}
    assert _run("-c", code, _SLUICE_COMPLETE="bash_complete", **words).stdout.split() == ["plain,--temperature"]


def test_ctrl_c_ends_a_command_with_its_own_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    publish_small(tmp_path, "points", (2,))
    monkeypatch.setattr("model_store.Store.verify", interrupted)
    result = CliRunner().invoke(main, ["verify", "--store", str(tmp_path)])
    assert result.exit_code == 130
    assert "interrupted" in result.output


def test_programs_get_json(tmp_path: Path) -> None:
    publish_small(tmp_path, "points", (2,))
    runner, store = CliRunner(), ["--store", str(tmp_path)]
    listed = json.loads(runner.invoke(main, ["models", *store, "--json"]).output)
    assert listed == [{"reference": "points@1", "name": "points", "version": 1, "aliases": ["default"]}]
    found = json.loads(runner.invoke(main, ["verify", *store, "--json"]).output)
    assert [(one["reference"], one["passed"], len(one["checks"])) for one in found] == [("points@1", True, 5)]
    missing = runner.invoke(main, ["verify", "nobody", *store, "--json"])
    assert missing.exit_code == 1
    assert json.loads(missing.output)[0]["passed"] is False
