"""The small training of every preset passes where the loss falls below the line, and else says why it fails."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.trainer.conftest import register
from trainer.commands.smoke import main
from trainer.presets import Preset, Smoke

Smoked = Callable[[Smoke | None], Result]


@pytest.fixture
def smoked(tiny: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smoked:
    """The command, on the tiny preset with that smoke line."""

    def invoke(smoke: Smoke | None) -> Result:
        register(replace(tiny, smoke=smoke), monkeypatch)
        return CliRunner().invoke(main, ["tiny", "--jobs", "1", "--data-dir", str(tmp_path / "data")])

    return invoke


def test_a_loss_below_the_line_passes(smoked: Smoked) -> None:
    result = smoked(Smoke(below=5.6, limit=1000, epochs=4))
    assert result.exit_code == 0, result.output
    row = result.output.splitlines()[-1].split()
    untrained, line, loss = (float(figure) for figure in row[1:4])
    assert loss < line == 5.6 < untrained
    assert row[-1] == "passed"


@pytest.mark.parametrize(
    ("smoke", "reason"),
    [
        (Smoke(below=2.0, limit=1000), "FAILED: not below"),
        (Smoke(below=9.0, limit=1000), "FAILED: the untrained flow is below the line"),
        (Smoke(below=5.6, limit=50), "FAILED: digits: 45 training items do not fill a batch of 90"),
        (Smoke(below=5.6, arguments={"prior": "none"}), "FAILED: prior must be one of"),
        (None, "FAILED: has no smoke line"),
    ],
)
def test_anything_else_fails_with_the_reason(smoked: Smoked, smoke: Smoke | None, reason: str) -> None:
    result = smoked(smoke)
    assert result.exit_code == 1
    assert reason in result.output


def test_missing_data_are_named_and_are_not_a_failure(smoked: Smoked, tmp_path: Path) -> None:
    (tmp_path / "data/t10k-images-idx3-ubyte.gz").unlink()
    result = smoked(Smoke(below=5.6))
    assert result.exit_code == 0
    assert "skipped: missing data: t10k-images-idx3-ubyte.gz: missing" in result.output


def test_damaged_data_are_a_failure(smoked: Smoked, tmp_path: Path) -> None:
    (tmp_path / "data/t10k-images-idx3-ubyte.gz").write_bytes(b"not an archive")
    result = smoked(Smoke(below=5.6))
    assert result.exit_code == 1
    assert "the file is damaged or another one" in result.output


def test_an_unknown_preset_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["no-such-preset"])
    assert result.exit_code == 2
    assert "no preset no-such-preset" in result.output


def test_presets_in_parallel_are_reported_in_order(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["mnist-nice", "cifar10-nice", "--jobs", "2", "--data-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == ["preset", "mnist-nice", "cifar10-nice"]
    assert result.output.count("skipped: ") == 2
