"""Looking for GPUs without importing torch."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from service import gpus
from service.gpus import Gpus, find_gpus

CUDA_BUILD = "__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
ROCM_BUILD = "__version__ = '2.13.0+rocm7'\ncuda: Optional[str] = None\nhip: Optional[str] = '7.0'\n"
CPU_BUILD = "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which another build of PyTorch says what it is."""
    monkeypatch.setattr(gpus, "find_spec", lambda name: ModuleSpec(name, None, origin=str(tmp_path / "__init__.py")))
    return tmp_path / "version.py"


def answering(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have this code run in place of the process that asks PyTorch."""
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: real([sys.executable, "-c", code], **options))


def test_what_is_found_is_what_pytorch_finds() -> None:
    found = find_gpus()
    assert len(found.names) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    assert bool(found.reason) == (not found.names)


def test_the_process_that_asks_pytorch_says_what_it_finds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.device.list_gpus"], capture_output=True, check=True, timeout=60
    )
    assert b'"names": [' in done.stdout
    assert (b'"reason": ""' in done.stdout) == torch.cuda.is_available()


def test_a_build_for_the_cpu_is_not_asked(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.write_text(CPU_BUILD)
    answering(monkeypatch, "raise SystemExit('asked')")
    assert find_gpus() == Gpus(reason="this build of PyTorch (2.13.0+cpu) computes on the CPU alone")


def test_without_a_driver_nothing_is_asked(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.write_text(CUDA_BUILD)
    monkeypatch.setattr(gpus, "_has_driver", lambda: False)
    answering(monkeypatch, "raise SystemExit('asked')")
    assert "no NVIDIA driver" in find_gpus().reason


@pytest.mark.parametrize("text", [CUDA_BUILD, ROCM_BUILD, "something else"])
def test_a_build_that_may_find_a_gpu_is_asked(text: str, build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.write_text(text)
    monkeypatch.setattr(gpus, "_has_driver", lambda: True)
    answering(monkeypatch, """print('{"names": ["NVIDIA A", "NVIDIA B"], "reason": ""}')""")
    found = find_gpus()
    assert found.places == ("cuda:0", "cuda:1")
    assert str(found) == "cuda:0 (NVIDIA A), cuda:1 (NVIDIA B), cpu"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("""print('{"names": [], "reason": "CUDA driver is too old"}')""", "CUDA driver is too old"),
        ("raise OSError('libcudart is damaged')", "could not be asked for its GPUs: OSError: libcudart is damaged"),
        ("import os; os.abort()", "could not be asked for its GPUs: exit code -6"),
        ("import time; time.sleep(60)", "did not answer within 1 seconds"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_none_and_the_reason_is_told(
    code: str, reason: str, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.write_text(CUDA_BUILD)
    monkeypatch.setattr(gpus, "_has_driver", lambda: True)
    monkeypatch.setattr(gpus, "_PATIENCE", 1.0)
    answering(monkeypatch, code)
    found = find_gpus()
    assert found.names == ()
    assert reason in found.reason
