"""Two services on one store of S3: both serve a new version when they are told to load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_store import open_store, receive
from service.settings import Settings
from tests.model_store.remote.s3_server import URL, bucket_of, s3_server
from tests.service.helpers import NPY, npy, publish_small, running

TOKEN = "t" * 32


@pytest.mark.anyio
async def test_two_services_on_one_store(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(TOKEN)
    points = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    admin = {"authorization": f"Bearer {TOKEN}"}
    with s3_server() as server, bucket_of(*server, store, monkeypatch):
        token = tmp_path / "token"
        async with (
            running(URL, store_cache=tmp_path / "a", admin_token_file=token) as one,
            running(URL, store_cache=tmp_path / "b", admin_token_file=token) as other,
        ):
            score, body = "/score?model=points", npy(points)
            first = [await each.post_json(score, content=body, headers=NPY) for each in (one, other)]
            publish_small(tmp_path / "made", "points", (2,), seed=5)
            receive(open_store(URL, tmp_path / "publisher", 2**30), tmp_path / "made/points/1")
            for each in (one, other):
                answer = await each.http.post("/v2/repository/models/points/load", headers=admin)
                assert answer.status_code == 200, answer.text
            second = [await each.post_json(score, content=body, headers=NPY) for each in (one, other)]
    assert first[0] == first[1]
    assert second[0] == second[1]
    assert (first[0]["model"], second[0]["model"]) == ("points@1", "points@2")
    assert first[0]["items"] != second[0]["items"]


def test_a_url_stays_a_url_and_anything_else_is_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_STORE", "s3://bucket/models")
    assert Settings().store == "s3://bucket/models"
    monkeypatch.setenv("SLUICE_STORE", "some/models")
    assert Settings().store == Path("some/models")
