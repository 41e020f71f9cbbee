"""Every parser of bodies against every input that the fuzzer ever kept, and against new ones for a while."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from tests.reliability.figures import Proof
from tests.reliability.fuzz.fuzzing import CORPUS, LARGEST, fuzz
from tests.reliability.fuzz.targets import TARGETS
from tests.reliability.markers import LONG, share_of

SECONDS = share_of(6)
"""Of the long form, for each parser; `make fuzz` takes the minutes that it is given."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS)
def test_no_kept_input_is_answered_by_more_than_a_refusal(target: str, proof: Proof) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert files, "the corpus is there"
    for file in files:
        began = time.process_time()
        data = file.read_bytes()
        assert len(data) <= LARGEST
        TARGETS[target](data)
        proof.injected()
        proof.expect(time.process_time() - began < 2, f"{file.name} took too long")
    proof.hold()


@LONG
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="pip install 'sluice[fuzz]'")
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_nothing(target: str, tmp_path: Path, proof: Proof) -> None:
    run = fuzz(target, SECONDS, tmp_path / "work")
    proof.injected(run.inputs)
    proof.expect(not run.found, run.found)
    proof.expect(run.inputs > 100, f"{run.inputs} inputs were tried")
    proof.hold()
