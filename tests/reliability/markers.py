"""Which tests are for `make test-reliability` alone."""

from __future__ import annotations

import os

import pytest

LONG = pytest.mark.skipif("SLUICE_RELIABILITY" not in os.environ, reason="the long form: make test-reliability")
"""Minutes instead of seconds."""
