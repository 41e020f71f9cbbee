"""What comes back: arrays, tables and pictures that show themselves."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from sluice_client import Client

from tests.client.transports import Scripted, client_of
from tests.service.helpers import images, npy
from tests.service.servers import Server


def _opened(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data))


def test_samples_are_an_array_a_grid_and_pictures(client: Client, tmp_path: Path) -> None:
    drawn = client.sample(9, seed=1)
    assert np.asarray(drawn).dtype == np.uint8
    assert np.asarray(drawn, dtype=float).dtype == float
    assert drawn.array.mean() == np.mean(drawn)
    assert [image.size for image in drawn.images()] == [(8, 8)] * 9
    sheet = np.asarray(drawn.image())
    assert sheet.shape == (28, 28)
    assert np.array_equal(sheet[10:18, 20:28], drawn[5])
    drawn.save(tmp_path / "grid.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "grid.png")), sheet)
    drawn.save(tmp_path / "items.npy")
    assert np.array_equal(np.load(tmp_path / "items.npy"), drawn)
    assert min(_opened(drawn._repr_png_()).size) >= 300  # small pictures are shown in larger pixels
    assert repr(drawn) == "Samples(digits@2, n=9, shape=(8, 8), seed=1)"
    assert sum(len(item) for item in drawn) == 72


def test_points_of_the_plane_are_shown_as_a_scatter(client: Client) -> None:
    drawn = client.sample(50, model="points", seed=1)
    shown = np.asarray(_opened(drawn._repr_png_()).convert("RGB"))
    assert (shown == (31, 119, 180)).all(axis=-1).sum() > 100
    assert drawn._repr_html_() is None
    with pytest.raises(TypeError, match="no images"):
        drawn.images()


def test_other_vectors_are_shown_as_a_table(client: Client) -> None:
    latents = client.encode(images(12))
    assert repr(latents) == "Latents(digits@2, n=12, shape=(64,))"
    from sluice_client import Samples

    wide = Samples(np.arange(36.0).reshape(12, 3), "m@1", 0)
    assert wide._repr_png_() is None
    html = wide._repr_html_()
    assert html is not None
    assert html.count("<tr>") == 10
    assert "2 more" in html
    with pytest.raises(TypeError, match="no picture"):
        wide.image()


def test_scores_are_a_table(client: Client) -> None:
    found = client.score(client.sample(30, seed=2), alpha=0.5, fdr=0.5)
    assert found.alpha == 0.5
    assert found.columns.keys() >= {"log_likelihood", "p_value", "anomalous", "p_value_complexity", "reason"}
    assert all(len(column) == 30 for column in found.columns.values())
    assert found["anomalous"].dtype == bool
    assert np.array_equal(found["anomalous"], found["p_value"] <= 0.5)
    assert found[3]["log_likelihood"] == found.log_likelihood[3]
    assert found[3]["reason"] is None
    assert len(found[found.anomalous]) == found.anomalous.sum()
    assert len(found[:4]) == 4
    assert [row["p_value"] for row in found] == found.p_value.tolist()
    frame = found.to_pandas()
    assert list(frame.columns) == list(found.to_dict())
    assert frame["log_likelihood"].tolist() == found.log_likelihood.tolist()
    text = repr(found)
    assert text.startswith(f"Scores(digits@2, 30 items, {found.anomalous.sum()} anomalous at 0.5)")
    assert text.endswith("… 20 more")
    assert found._repr_html_().count("<tr>") == 11
    assert found.groups[0]["count"] == 30


def test_an_item_beyond_the_model_has_no_figures_and_a_reason(client: Client) -> None:
    found = client.score([[3e38, -3e38], [0.0, 0.0]], model="points")
    assert np.isnan(found.log_likelihood[0])
    assert "not finite" in found[0]["reason"]
    assert found[0]["log_likelihood"] is None
    assert "not finite" in repr(found)
    assert np.isfinite(found.log_likelihood[1])


def test_maps_and_regions_are_those_of_the_service(client: Client, server: Server) -> None:
    items = images(3)
    items[1, 2:6, 2:6] = 255
    answer = server.post(
        "/score?map=true",
        content=npy(items),
        headers={"content-type": "application/x-npy", "accept": "application/x-npy"},
    )
    assert npy(client.map(items).array) == answer.content
    assert _opened(client.map(items)._repr_png_()).width > 300
    found = client.score(items, regions=True, alpha=0.5)
    told = server.post(
        "/score?map=true&alpha=0.5", content=npy(items), headers={"content-type": "application/x-npy"}
    ).json()["items"]
    assert found["regions"].tolist() == [item["regions"] for item in told]
    assert "regions" not in client.score(items).columns
    assert "map" in repr(client.map(items)).lower()


def test_maps_are_asked_for_as_numbers_and_shown_in_colours() -> None:
    given = np.zeros((2, 8, 8), np.float32)
    given[1, 3, 4] = 9
    answer = httpx.Response(200, content=npy(given), headers={"x-sluice-model": "m@1"})
    transport = Scripted(answer)
    found = client_of(transport).map(images(2), fit=True)
    (request,) = transport.requests
    assert dict(request.url.params) == {"map": "true", "fit": "true"}
    assert (request.url.path, request.headers["accept"]) == ("/score", "application/x-npy")
    assert np.array_equal(found, given)
    sheet = np.asarray(found.image())
    assert sheet.shape == (8, 18, 3)
    assert sheet[3, 14].tolist() == [252, 255, 164]
    assert sheet[0, 0].tolist() == [13, 8, 75]
    assert _opened(found._repr_png_()).size == (306, 136)
    assert repr(found) == "Maps(m@1, n=2, shape=(8, 8))"
