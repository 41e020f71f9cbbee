"""The service keeps what its OpenAPI document says, and what the Open Inference Protocol says: schemathesis asks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.servers import Server, serving

HERE = Path(__file__).parent
CONFIGURATION = HERE / "schemathesis.toml"
PROTOCOL = HERE / "routes" / "v2" / "open_inference.yaml"


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("openapi")
    (folder / "token").write_text("correct horse battery staple, and more")
    limits: dict[str, Any] = {"max_n": 8, "max_steps": 4, "max_items": 64, "max_body_bytes": 2**18, "max_tasks": 5}
    with serving(store, folder / "log", admin_token_file=folder / "token", **limits) as started:
        yield started


def assert_kept(folder: Path, *arguments: str) -> None:
    """Schemathesis finds no violation; the test fails with all that it says otherwise."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "--no-color", "run"]
    done = subprocess.run([*command, *arguments], capture_output=True, check=False, timeout=110, cwd=folder)
    if done.returncode:
        pytest.fail(done.stdout.decode("utf-8", "replace") + done.stderr.decode(), pytrace=False)


def test_the_service_answers_as_its_openapi_document_says(server: Server, tmp_path: Path) -> None:
    assert_kept(tmp_path, f"{server.address}/openapi.json", "--continue-on-failure")


def test_it_answers_as_the_open_inference_protocol_says(server: Server, tmp_path: Path) -> None:
    assert_kept(tmp_path, str(PROTOCOL), "--url", server.address, "--continue-on-failure")
