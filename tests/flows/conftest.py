"""The tests of the mathematics draw the same numbers in every run."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    torch.manual_seed(0)
