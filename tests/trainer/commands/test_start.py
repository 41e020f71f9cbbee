"""`sluice-train --start`: a run that starts from the weights of a published model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import flows
from trainer.errors import TrainerError
from trainer.run.start import Start

Train = Callable[..., Result]
_GIVEN = ("--limit", "2000", "--epochs", "2")


def validations(result: Result) -> list[str]:
    """The validation likelihoods that a run told, from the state before its first step on."""
    return [line.split("validation")[1].split()[0] for line in result.output.splitlines() if "validation" in line]


def test_a_run_goes_on_from_a_published_model(sluice_train: Train, tmp_path: Path) -> None:
    first = sluice_train("moons-nice", *_GIVEN)
    assert first.exit_code == 0, first.output
    other = sluice_train("moons-nice", *_GIVEN, "--start", "moons-nice")
    assert other.exit_code == 1
    assert "from another experiment (start differ)" in " ".join(other.output.split())

    again = sluice_train("moons-nice", *_GIVEN, "--start", "moons-nice@1", "--fresh")
    assert again.exit_code == 0, again.output
    best = max(validations(first), key=float)
    assert float(validations(again)[0]) == pytest.approx(float(best), abs=2e-3), "the weights are stored in bfloat16"
    version = tmp_path / "store/moons-nice/2"
    assert "--start moons-nice@1" in (version / "README.md").read_text()
    before, after = (
        json.loads((tmp_path / f"store/moons-nice/{number}/manifest.json").read_text())["quality"]["test"]
        for number in (1, 2)
    )
    assert after["log_likelihood"] > before["log_likelihood"]
    without = sluice_train("moons-nice", *_GIVEN)
    assert without.exit_code == 1, "its card would not tell where the weights came from"
    assert "from another experiment (start differ)" in " ".join(without.output.split())


def test_a_start_may_have_other_arguments_that_shape_no_weights() -> None:
    smooth = flows.lattice((8, 8), width=4, blocks=1, joint=True)
    start = Start(
        reference="digits@1",
        digest="0" * 64,
        architecture="lattice",
        item_shape=(8, 8),
        arguments={"width": 4, "blocks": 1, "joint": True},
        weights=smooth.state_dict(),
    )
    wanted = {"width": 4, "blocks": 1, "joint": True, "stepped": True}
    start.fits("lattice", (8, 8), wanted)
    flows.build("lattice", (8, 8), wanted).load_state_dict(dict(start.weights))
    with pytest.raises(TrainerError, match=r"other arguments \(width\)"):
        start.fits("lattice", (8, 8), wanted | {"width": 5})


def test_a_factor_on_the_rate_is_kept_in_the_command_and_slows_the_run(sluice_train: Train, tmp_path: Path) -> None:
    whole, slow = (sluice_train("moons-nice", *_GIVEN, "--fresh", *more) for more in ((), ("--rate", "0.01")))
    assert slow.exit_code == 0, slow.output
    gains = [float(max(found, key=float)) - float(found[0]) for found in map(validations, (whole, slow))]
    assert 0 < gains[1] < gains[0] / 3
    manifest = json.loads((tmp_path / "store/moons-nice/2/manifest.json").read_text())
    assert " --rate 0.01 " in manifest["provenance"]["command"]
    for factor in ("0", "-1", "11", "nan"):
        assert sluice_train("moons-nice", "--rate", factor).exit_code == 2


@pytest.mark.parametrize(
    ("preset", "start", "message"),
    [
        ("circles-nice", "moons-nice", "--start: moons-nice@1 is a flow of other arguments (couplings)"),
        ("moons-realnvp", "moons-nice", "--start: moons-nice@1 is a nice flow, not realnvp"),
        ("moons-nice", "no-such-model", "there is no model 'no-such-model'"),
        ("moons-nice", "moons-nice@7", "moons-nice has no version 7"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(sluice_train: Train, preset: str, start: str, message: str) -> None:
    assert sluice_train("moons-nice", *_GIVEN).exit_code == 0
    refused = sluice_train(preset, *_GIVEN, "--fresh", "--start", start)
    assert refused.exit_code == 1
    assert message in " ".join(refused.output.split())


def test_pictures_of_any_size_take_no_start(sluice_train: Train) -> None:
    refused = sluice_train("pictures", "--start", "mnist")
    assert refused.exit_code == 2
    assert "--start is not for pictures" in " ".join(refused.output.split())
