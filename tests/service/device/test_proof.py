"""Sizes of batch are proven by what each kind of work answers in them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from flows.inpainting import METHODS
from model_store import LoadedModel, Store
from service.device.columns import Columns
from service.device.graphs import Graphs
from service.device.programs import Decode, Encode, Inpaint, Sample, Score
from service.device.proof import prove_sizes
from service.device.runner import Runner
from tests.service.device.test_graphs import Again


def load(root: Path, name: str) -> LoadedModel:
    store = Store(root)
    return store.load(*store.resolve(name))


def at_once(work: Callable[[], Any]) -> Any:
    return work()


class Among(Runner):
    """A device that gives scores other last bits in batches of 32 rows."""

    def _pass(self, program: Any, work: Any, rows: Any) -> Any:
        found = super()._pass(program, work, rows)
        if isinstance(program, Score) and len(rows) == 32:
            changed: list[Tensor] = [tensor + 1e-6 for tensor in found.flat()]
            return found.like(changed)
        return found


def runner_of(kind: type[Runner]) -> Runner:
    return kind(torch.device("cpu"), 300, Graphs(Again))


def test_a_size_in_which_a_row_gets_other_bits_is_not_used(
    calibrated_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sluice")
    model = load(calibrated_store, "digits")
    runner = runner_of(Among)
    prove_sizes(model, runner, at_once)
    assert runner.sizes(Score(model)).proven == (256, 300)
    assert f"score of {model.reference} in batches of 256, 300 rows" in caplog.messages
    for program in (Sample(model), Encode(model), Decode(model)):
        assert runner.sizes(program).proven == (32, 256, 300)


@pytest.mark.parametrize(("name", "recorded"), [("digits", 18), ("points", 15)])  # images have maps
def test_every_kind_of_work_is_proven_and_recorded(calibrated_store: Path, name: str, recorded: int) -> None:
    model = load(calibrated_store, name)
    runner = runner_of(Runner)
    prove_sizes(model, runner, at_once)
    for method in METHODS:
        assert runner.sizes(Inpaint(model, method)).proven == (32, 256, 300)
    assert runner.graphs is not None
    assert (runner.graphs.recorded, runner.graphs.failed) == (recorded, 0)
    columns = Columns({"key": torch.arange(3), "temperature": torch.ones(3).double()})
    with torch.inference_mode():
        assert len(runner.compute(Sample(model), columns)) == 32


def test_methods_whose_two_kinds_of_pass_share_no_size_get_a_single_one(
    calibrated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, runner = load(calibrated_store, "points"), runner_of(Runner)
    found = iter([(32,), (256,), (256,), (256,), (256,)])  # in the order of the trials, samples first
    monkeypatch.setattr("service.device.proof._proven", lambda *_: next(found))
    prove_sizes(model, runner, at_once)
    for method in METHODS:
        assert runner.sizes(Inpaint(model, method)).most() == 256
