"""What items and batches are told, where there is nothing sensible to tell."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from service.scores import BEYOND, Scored, group_score, item_scores

IMAGES: Any = SimpleNamespace(flow=SimpleNamespace(is_image=True, dimensions=4))


def test_means_are_of_all_items() -> None:
    found = group_score(IMAGES, torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64), None, 0.01)
    assert (found.count, found.log_likelihood) == (3, 3.0)
    assert found.bits_per_dim == pytest.approx(8 - 3 / (4 * math.log(2)))


@pytest.mark.parametrize("values", [[math.nan, 1.0], [-math.inf, 1.0], [math.inf, -math.inf]])
def test_where_a_likelihood_is_not_finite_neither_it_nor_the_mean_is_told(values: list[float]) -> None:
    log_likelihood = torch.tensor(values, dtype=torch.float64)
    together = group_score(IMAGES, log_likelihood, None, 0.01)
    assert (together.count, together.log_likelihood, together.bits_per_dim) == (2, None, None)
    first = next(item_scores(IMAGES, Scored(log_likelihood, None), 0.01))
    assert (first.log_likelihood, first.bits_per_dim, first.reason) == (None, None, BEYOND)
