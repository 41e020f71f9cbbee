"""The service keeps what its OpenAPI document says, and what the Open Inference Protocol says: schemathesis asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.api.schemas import OWN, PROTOCOL, keep, settings
from tests.service.servers import Server, serving


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("openapi")
    with serving(store, folder / "log", **settings(folder)) as started:
        yield started


def test_the_service_answers_as_its_openapi_document_says(server: Server, tmp_path: Path) -> None:
    keep(server, OWN, tmp_path)


def test_it_answers_as_the_open_inference_protocol_says(server: Server, tmp_path: Path) -> None:
    keep(server, PROTOCOL, tmp_path)
