"""How the threads of commands wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHECK = "import sys, {}, os; print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])"
SPINS = "GOMP_SPINCOUNT"


@pytest.mark.parametrize("commands", ["trainer.commands", "service.offline"])
@pytest.mark.parametrize("wished", [None, "70000"])
def test_threads_spin_shortly_unless_wished_otherwise_and_that_is_set_before_torch(
    commands: str, wished: str | None
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != SPINS}
    if wished is not None:
        environment[SPINS] = wished
    said = subprocess.run(
        [sys.executable, "-c", CHECK.format(commands)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split() == ["False", wished or "1000"]
