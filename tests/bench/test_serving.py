"""A server counts as loaded by what it says, and one that ends says why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bench import serving

Answer = tuple[int, bytes]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as found:
        yield found
        found.kill()


def answers(monkeypatch: pytest.MonkeyPatch, *bodies: object) -> None:
    """Let GET requests get these bodies in turn; an exception among them is raised."""
    turns = iter(bodies)

    def get(address: str, path: str, timeout: float = 5.0) -> tuple[int, bytes]:
        found = next(turns)
        if isinstance(found, Exception):
            raise found
        return 200, json.dumps(found).encode()

    monkeypatch.setattr(serving, "get", get)


def test_loaded_means_that_all_names_are_listed(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = {"name": "one"}, {"name": "two"}
    answers(
        monkeypatch,
        ConnectionRefusedError(),
        {"models": [one], "refused": []},
        {"models": [one, two], "refused": []},
    )
    serving.wait_until_loaded(process, "http://127.0.0.1:9", ["two"])


def test_a_refused_model_ends_the_wait(process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {"models": [], "refused": [{"name": "two", "version": 1, "reason": "it is damaged"}]})
    with pytest.raises(serving.NotReady, match="two was refused: it is damaged"):
        serving.wait_until_loaded(process, "http://127.0.0.1:9", ["two"])


def test_a_service_with_keys_is_asked_with_one_what_it_loads(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(address: str, path: str, timeout: float = 5.0, headers: Mapping[str, str] = serving.NO_KEY) -> Answer:
        return (200, b'{"loading": []}') if headers == {"X-API-Key": "read"} else (401, b"{}")

    monkeypatch.setattr(serving, "get", get)
    monkeypatch.setattr(serving, "PATIENCE", 0.1)
    serving.wait_until_all_loaded(process, "http://127.0.0.1:9", {"X-API-Key": "read"})
    with pytest.raises(serving.NotReady):
        serving.wait_until_all_loaded(process, "http://127.0.0.1:9")


def test_a_server_that_ends_before_it_is_ready_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(serving.ServerEnded, match="exit code 1: "), serving.served(tmp_path, port="none"):
        pass
    assert "Input should be a valid integer" in capsys.readouterr().err
