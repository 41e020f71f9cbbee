"""Memory is read while the server is under load."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.side_by_side import processes, under_load
from bench.side_by_side.load import Load


def test_memory_is_read_during_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, loading = threading.Event(), threading.Event()

    def drive(*_: object) -> Load:
        loading.set()
        assert read.wait(60)  # the load ends only once memory has been read
        loading.clear()
        read.clear()
        return Load(1.0, 10, 1.0, 1.0, 0, 0)

    def memory(_: object) -> processes.Memory:
        assert loading.wait(60)
        read.set()
        return processes.Memory(90, 100)

    monkeypatch.setattr(under_load, "_BURST", 0.01)
    monkeypatch.setattr(under_load, "drive", drive)
    monkeypatch.setattr(processes, "memory", memory)
    monkeypatch.setattr(processes, "by_role", lambda _: {"api": [1]})
    weights = tmp_path / "weights"
    weights.write_bytes(b"w")
    model: Any = SimpleNamespace(digits=np.zeros((1, 28, 28), dtype=np.uint8), weights=weights)
    rows = list(under_load.memory(model, 1, "", 20, 60.0))
    assert [row.holds for row in rows] == [True, True]
    assert "over 20 requests" in rows[0].work
