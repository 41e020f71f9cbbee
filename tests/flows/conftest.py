"""Fixtures of all tests of the flows package."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Weights and points are random: a seed makes every run of a test the same."""
    torch.manual_seed(0)
