"""Schemathesis: it asks a running service whatever a schema allows, and what it does not, and looks at the answers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service.servers import Server

_HERE = Path(__file__).parent
OWN = "/openapi.json"
"""The schema that the service itself tells."""
PROTOCOL = str(_HERE / "routes" / "v2" / "open_inference.yaml")


def settings(folder: Path) -> dict[str, Any]:
    """Of a service to be asked: small limits, which are met, and an administrator."""
    (folder / "token").write_text("correct horse battery staple, and more")
    limits = {"max_n": 8, "max_steps": 4, "max_items": 64, "max_body_bytes": 2**18, "max_tasks": 5}
    return {"admin_token_file": folder / "token", **limits}


def keep(server: Server, schema: str, folder: Path, *arguments: str, seconds: float = 110) -> int:
    """Fail the test, with all that schemathesis says, if it finds a violation. How many cases it tried."""
    options = ["--config-file", str(_HERE / "schemathesis.toml"), "--no-color"]
    where = [server.address + schema] if schema == OWN else [schema, "--url", server.address]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *options, "run", *where, "--continue-on-failure", *arguments],
        capture_output=True,
        check=False,
        timeout=seconds,
        cwd=folder,
    )
    said = done.stdout.decode("utf-8", "replace") + done.stderr.decode()
    if done.returncode:
        pytest.fail(said, pytrace=False)
    found = re.search(r"([\d,]+) generated", said)
    assert found, said
    return int(found[1].replace(",", ""))
