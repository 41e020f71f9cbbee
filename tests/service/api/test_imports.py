"""An api process starts fast and small: it never imports torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOADED = """
import sys
import {modules}
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "flows", "model_store", "safetensors"}}))
"""


@pytest.mark.parametrize("modules", ["service.api.app, service.api.server", "service.supervisor, service.cli"])
def test_what_speaks_http_and_what_supervises_import_no_torch(modules: str) -> None:
    code = _LOADED.format(modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []


def test_an_application_is_made_without_torch_too() -> None:
    code = _LOADED.format(modules="service.api.app").replace(
        "print(", "service.api.app.create_app().openapi()\nimport service.keeper\nprint("
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []
