"""The Accept header."""

from __future__ import annotations

import pytest

from service.api.negotiation import negotiate
from service.media.types import JSON, NPY, PNG
from service.protocol.errors import NotAcceptable

OFFERS = (PNG, NPY, JSON)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, PNG),
        ("*/*", PNG),
        ("image/*", PNG),
        ("application/*", NPY),
        ("application/json", JSON),
        ("text/html, APPLICATION/JSON", JSON),
        ("image/png;q=0.5, application/json", JSON),
        ("image/png;q=0, */*", NPY),
        ("*/*;q=0.1, application/json;q=0.2", JSON),
        ("application/json;q=what", JSON),
    ],
)
def test_the_client_gets_what_it_likes_best(accept: str | None, expected: str) -> None:
    assert negotiate(accept, OFFERS) == expected


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "nonsense", "image/jpeg"])
def test_nothing_acceptable_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        negotiate(accept, OFFERS)
