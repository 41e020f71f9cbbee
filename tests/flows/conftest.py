"""What all tests of the mathematics start from."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _the_same_random_numbers() -> None:
    """Weights and points are drawn: a flow that is unlucky in them should be so always, or never."""
    torch.manual_seed(0)
