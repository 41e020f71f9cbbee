"""Which tests are for `make test-scale` alone."""

from __future__ import annotations

import os

import pytest

LONG = pytest.mark.skipif("SLUICE_SCALE" not in os.environ, reason="the long form: make test-scale")
"""Minutes instead of seconds."""
