"""Pages whose blocks another test runs, and blocks of pages without marks that no test runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
RUN_ELSEWHERE: Mapping[str, str] = {
    "docs/keys.md": "tests/docs/test_protocol.py",
    **{
        f"docs/{path.stem.removeprefix('test_').replace('_', '-')}.md": f"tests/docs/{path.name}"
        for path in HERE.glob("test_*.py")
        if (HERE.parents[1] / f"docs/{path.stem.removeprefix('test_').replace('_', '-')}.md").exists()
    },
}
"""The test that runs a page: one of the same name, such as test_own_tables.py of docs/own-tables.md, and others."""

NOT_RUN: Mapping[str, Mapping[str, str]] = {
    "docs/kubernetes.md": {
        "kubectl kustomize docker/kubernetes/overlays/cpu": (
            "needs kubectl; tests/docker/test_kubernetes.py renders every overlay"
        ),
    },
    "docs/tables.md": {
        "from trainer.detector import FlowDetector             # pip install 'sluice[train,sklearn]'": (
            "tests/trainer/test_detector.py fits and saves a detector"
        ),
        "make bench-tables": "it takes an hour",
    },
}
"""The reason why a block is not run, by page and first line."""
