"""Pages whose blocks another test runs, and blocks of pages without marks that no test runs."""

from __future__ import annotations

from collections.abc import Mapping

RUN_ELSEWHERE: Mapping[str, str] = {
    "docs/keys.md": "tests/docs/test_protocol.py",
    "docs/own-tables.md": "tests/docs/test_own_tables.py",
    "docs/protocol.md": "tests/docs/test_protocol.py",
}
"""The test that runs a page."""

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
