"""The HTTP contract through Ray Serve's proxy, in a cluster of its own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.scale.markers import LONG
from tests.service.servers import ROOT

pytest.importorskip("ray.serve", reason="Ray Serve comes with the extra ray")
pytestmark = LONG


@pytest.mark.timeout(1500)
def test_the_contract_holds_through_rays_proxy() -> None:
    """The tests of the routes, unchanged, against two replicas."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.scale.through_ray", "-rs"]
    done = subprocess.run(
        [*command, "tests/service/api/routes", "-o", "timeout=300", "--tb=native"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    told = done.stdout[-4000:] + done.stderr[-1000:]
    assert done.returncode == 0, told
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, told
    assert int(passed[1]) > 300, told
