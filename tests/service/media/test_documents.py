"""What items and batches are told, also where there is nothing sensible to tell."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from service.media.documents import BEYOND, bits_per_dim, group_score, item_scores, to_json
from service.protocol.model_info import ModelInfo
from service.protocol.model_info import TestInfo as InfoOfTest
from tests.service.protocol.samples import model_info

IMAGES = model_info(item_shape=(2, 2), item_dtype="uint8")
VECTORS = model_info(item_shape=(4,), item_dtype="float32")


def test_means_are_of_all_items() -> None:
    found = group_score(IMAGES, np.array([1.0, 2.0, 6.0]), None, 0.01)
    assert (found.count, found.log_likelihood) == (3, 3.0)
    assert found.bits_per_dim == pytest.approx(8 - 3 / (4 * math.log(2)))


@pytest.mark.parametrize("values", [[math.nan, 1.0], [-math.inf, 1.0], [math.inf, -math.inf]])
def test_where_a_likelihood_is_not_finite_neither_it_nor_the_mean_is_told(values: list[float]) -> None:
    log_likelihood = np.array(values)
    together = group_score(IMAGES, log_likelihood, None, 0.01)
    assert (together.count, together.log_likelihood, together.bits_per_dim) == (2, None, None)
    first = next(item_scores(IMAGES, {"log_likelihood": log_likelihood}, 0.01))
    assert (first.log_likelihood, first.bits_per_dim, first.reason) == (None, None, BEYOND)


@pytest.mark.parametrize(("model", "expected"), [(IMAGES, bits_per_dim(3.0, 4)), (VECTORS, None)])
def test_only_pixels_have_bits(model: ModelInfo, expected: float | None) -> None:
    assert next(item_scores(model, {"log_likelihood": np.array([3.0])}, 0.01)).bits_per_dim == expected


def test_statistics_are_told_test_by_test_in_order_and_over_blocks() -> None:
    tests = (InfoOfTest("one", ("a", "b")), InfoOfTest("none", ()), InfoOfTest("other", ("c",)))
    count = 600  # more than one block
    arrays: dict[str, Any] = {
        "log_likelihood": np.arange(count, dtype=float),
        "p_value": np.linspace(0, 1, count),
        "test_p_values": np.tile([0.1, 0.2, 0.3], (count, 1)),
        "statistics": np.arange(count)[:, None] + [0.0, 0.25, np.inf],
        "discovery": np.arange(count) == 599,
    }
    items = list(item_scores(model_info(tests=tests), arrays, alpha=0.5))
    assert [item.log_likelihood for item in items] == list(range(count))
    assert [item.anomalous for item in items] == (arrays["p_value"] <= 0.5).tolist()
    assert [item.discovery for item in items] == arrays["discovery"].tolist()
    assert {name: test.p_value for name, test in items[7].tests.items()} == {"one": 0.1, "none": 0.2, "other": 0.3}
    assert items[7].tests["one"].statistics == {"a": 7.0, "b": 7.25}
    assert items[7].tests["other"].statistics == {"c": None}, "not finite"


def test_json_has_no_number_that_json_does_not_know() -> None:
    assert json.loads(to_json({"a": math.nan, "b": [math.inf, -math.inf, 1.5]})) == {"a": None, "b": [None, None, 1.5]}
