"""Which tests are for `make test-reliability` alone, and how much of it they do."""

from __future__ import annotations

import os

import pytest

LONG = pytest.mark.skipif("SLUICE_RELIABILITY" not in os.environ, reason="the long form: make test-reliability")
"""Minutes instead of seconds."""


def share_of(count: int) -> int:
    """A count, or the share of it that SLUICE_RELIABILITY_SHARE names: to try a long proof in less time."""
    return max(1, round(count * float(os.environ.get("SLUICE_RELIABILITY_SHARE", "1"))))
