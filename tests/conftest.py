"""What every test may use: the real digits that travel with the tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor

# How long an example takes depends on who else uses the machine.
settings.register_profile("sluice", deadline=None)
settings.load_profile("sluice")

DATA = Path(__file__).parent / "data"

# No test trusts a certificate, and each httpx client would read all those of the machine: 25 ms for every request that
# is sent on a client of its own. A folder without certificates costs nothing, in the processes that tests start too.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(DATA)


class Digits(NamedTuple):
    """Real MNIST digits: images (N, 28, 28) uint8 and labels (N,)."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


@pytest.fixture(scope="session")
def digits() -> Digits:
    """1,000 of the training set and 500 of the test set."""
    with np.load(DATA / "mnist-subset.npz") as file:
        parts = ("train_images", "train_labels", "test_images", "test_labels")
        return Digits(*(torch.from_numpy(file[part]) for part in parts))
