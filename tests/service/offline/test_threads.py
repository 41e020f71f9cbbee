"""How the threads of the commands that need no service wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHECK = "import sys, service.cli, service.offline, os; print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])"


@pytest.mark.parametrize("wished", [None, "70000"])
def test_threads_spin_shortly_unless_wished_otherwise_and_that_is_set_before_torch(wished: str | None) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    if wished is not None:
        environment["GOMP_SPINCOUNT"] = wished
    found = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", wished or "1000"]
