"""The HTTP contract through Ray Serve's proxy, in a cluster of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scale.markers import LONG
from tests.service.servers import ROOT

pytest.importorskip("ray.serve", reason="Ray Serve comes with the extra ray")
pytestmark = LONG


ROUTES = ROOT / "tests/service/api/routes"
MIDDLE = "test_j"
"""Between two names of files: halves that take about as long, for two processes."""


@pytest.mark.parametrize("half", ["first", "second"])
@pytest.mark.timeout(1500)
def test_the_contract_holds_through_rays_proxy(half: str) -> None:
    """The tests of the routes, unchanged, against two replicas."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.scale.through_ray", "-rs"]
    tests = [path for path in ROUTES.rglob("test_*.py") if _is_first(path) == (half == "first")]
    done = subprocess.run(
        [*command, *map(str, sorted(tests)), "-o", "timeout=300", "--tb=native"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    told = done.stdout[-4000:] + done.stderr[-1000:]
    assert done.returncode == 0, told
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, told
    assert int(passed[1]) > 100, told


def _is_first(path: Path) -> bool:
    return path.parent == ROUTES and path.name < MIDDLE
