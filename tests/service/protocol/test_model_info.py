"""The catalogue: everything that a request may call a model."""

from __future__ import annotations

import pytest

from service.protocol.errors import Unavailable, Unknown
from service.protocol.model_info import Catalogue, RefusedInfo
from tests.service.protocol.samples import model_info

DIGITS = model_info("digits", 2, ("default", "best"))
POINTS = model_info("points", 1, ("default",), item_shape=(2,), item_dtype="float32")


def test_a_model_is_found_by_name_version_and_alias() -> None:
    found = Catalogue((DIGITS, POINTS), default="digits", starting=False)
    for reference in ("digits", "digits@2", "digits@default", "digits@best", None):
        assert found.get(reference) is DIGITS
    assert found.get("points@default") is POINTS
    for reference in ("nobody", "digits@1", "digits@other", "points@best", "", "@", "digits@", "../digits"):
        with pytest.raises(Unknown) as refusal:
            found.get(reference)
        assert refusal.value.field == "model"


@pytest.mark.parametrize("default", ["digits", "digits@2", "digits@best"])
def test_the_default_may_be_any_reference(default: str) -> None:
    found = Catalogue((DIGITS, POINTS), default=default, starting=False)
    assert found.get(None) is DIGITS
    assert found.is_default(DIGITS)
    assert not found.is_default(POINTS)


def test_a_default_that_is_not_there_is_unavailable_rather_than_unknown() -> None:
    found = Catalogue((POINTS,), default="digits", starting=False)
    with pytest.raises(Unavailable, match="digits"):
        found.get(None)
    assert not found.is_default(POINTS)
    with pytest.raises(Unavailable):
        Catalogue(starting=False).get(None)


def test_a_refused_version_tells_its_reason_and_what_serves_wins_its_names() -> None:
    refused = RefusedInfo("digits", 3, "the weights are damaged", ("default", "next"))
    alone = Catalogue((POINTS,), (refused,), default="points", starting=False)
    for reference in ("digits", "digits@3", "digits@default", "digits@next"):
        with pytest.raises(Unavailable, match="damaged"):
            alone.get(reference)
    both = Catalogue((DIGITS,), (refused,), default="digits", starting=False)
    assert both.get("digits") is both.get("digits@default") is DIGITS
    for reference in ("digits@3", "digits@next"):
        with pytest.raises(Unavailable, match="damaged"):
            both.get(reference)


def test_what_is_still_to_be_loaded_asks_to_come_back() -> None:
    found = Catalogue((DIGITS,), waiting=("points",), default="digits", starting=True)
    assert found.get(None) is DIGITS
    for reference in ("points", "points@7", "points@best"):
        with pytest.raises(Unavailable) as refusal:
            found.get(reference)
        assert refusal.value.retry_after
    for unnamed in (Catalogue(), Catalogue(waiting=("digits",), default="digits", starting=True)):
        with pytest.raises(Unavailable) as refusal:
            unnamed.get(None)
        assert refusal.value.retry_after
        assert refusal.value.field is None, "the request named no model"
    with pytest.raises(Unknown):  # the names of the store are known by now
        found.get("nobody")
    with pytest.raises(Unavailable):
        Catalogue(default="digits", starting=True).get("nobody")


@pytest.mark.parametrize(
    ("catalogue", "why"),
    [
        (Catalogue(), "the models are still being loaded"),
        (Catalogue(starting=False), "no model is loaded"),
        (Catalogue((POINTS,), waiting=("digits",), default="digits", starting=True), "the models are still"),
        (Catalogue((DIGITS,), waiting=("points",), default="digits", starting=True), None),
        (Catalogue((POINTS,), default="nobody", starting=False), None),
        (Catalogue((), (RefusedInfo("a", 1, "broken"), RefusedInfo("b", 2, "odd")), starting=False), "a@1 is refused"),
    ],
)
def test_readiness_is_that_of_a_request_without_a_model_while_starting(catalogue: Catalogue, why: str | None) -> None:
    found = catalogue.unready()
    assert (found is None) == (why is None)
    assert why is None or why in (found or "")


def test_only_pixels_have_bits() -> None:
    assert (DIGITS.bits_per_dim_of, DIGITS.dimensions, DIGITS.is_image) == (64, 64, True)
    assert (POINTS.bits_per_dim_of, POINTS.dimensions, POINTS.is_image) == (None, 2, False)
