"""What may be handed in as items, and refusals that name the argument."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from sluice_client import Client, UnusableInput

from tests.client.transports import Scripted, client_of, problem, scores
from tests.service.helpers import images, picture

COLUMNS = {"x": [0.5, 1.0, 2.0], "y": [0.25, 0.5, 3.0]}


def test_arrays_lists_pictures_paths_and_bytes_of_the_same_images_get_the_same_scores(
    client: Client, tmp_path: Path
) -> None:
    pixels = images(4)
    expected = client.score(pixels).log_likelihood
    (tmp_path / "album/later").mkdir(parents=True)
    paths = [tmp_path / "album" / name for name in ("a.png", "b.PNG", "c.png", "later/a.png")]
    for path, image in zip(paths, pixels, strict=True):
        path.write_bytes(picture(image))
    (tmp_path / "album/._a.png").write_bytes(b"notes of a system")
    np.save(tmp_path / "batch.npy", pixels)
    for given in (
        list(pixels),
        pixels.tolist(),
        pixels.astype(">i8"),
        np.asfortranarray(pixels),
        pixels[::-1][::-1],
        [Image.fromarray(image) for image in pixels],
        [picture(image) for image in pixels],
        [*map(str, paths[:2]), *paths[2:]],
        tmp_path / "album",
        tmp_path / "batch.npy",
        str(tmp_path / "batch.npy"),
    ):
        assert np.array_equal(client.score(given).log_likelihood, expected)
    assert client.score(paths[1]).log_likelihood == expected[1]
    assert client.score(Image.fromarray(pixels[2])).log_likelihood == expected[2]
    assert client.score(bytearray(picture(pixels[3]))).log_likelihood == expected[3]
    assert np.array_equal(client.encode(paths), client.encode(pixels))


def test_pictures_of_another_size_are_converted_where_that_is_asked_for(client: Client) -> None:
    large = Image.fromarray(images(1)[0]).resize((20, 16)).convert("RGB")
    assert len(client.score([large, large], fit=True)) == 2
    assert len(client.score(large.convert("P"), fit=True)) == 1


@pytest.mark.parametrize("table", [COLUMNS, pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS), pa.table(COLUMNS)])
def test_tables_are_taken_by_the_names_of_their_columns(client: Client, table: Any) -> None:
    rows = np.array([COLUMNS["x"], COLUMNS["y"]]).T
    expected = client.score(rows, model="points").log_likelihood
    assert np.array_equal(client.score(table, model="points").log_likelihood, expected)
    turned = client.score(rows[:, ::-1], model="points").log_likelihood
    assert np.array_equal(client.score(table, model="points", columns=["y", "x"]).log_likelihood, turned)
    assert np.array_equal(client.encode(table, model="points"), client.encode(rows, model="points"))
    with pytest.raises(UnusableInput, match=r"lacks the columns 'z'; it has 'x', 'y'"):
        client.score(table, model="points", columns=["x", "z"])


def _service_with(*columns: dict[str, Any]) -> Scripted:
    """A service whose model knows its columns."""
    model = {
        "name": "m",
        "version": 1,
        "reference": "m@1",
        "default": True,
        "architecture": "nice",
        "item_shape": [len(columns)],
        "item_dtype": "float32",
        "quality": {},
        "schema": {"columns": columns},
    }
    return Scripted(lambda request: problem(500, "") if request.method == "POST" else _listed(model, request))


def _listed(model: dict[str, Any], request: Any) -> Any:
    import httpx

    return httpx.Response(200, json={"models": [model], "refused": []} if request.url.path == "/models" else model)


def test_a_model_that_knows_its_columns_gets_them_in_its_order() -> None:
    names = [{"name": "y", "kind": "continuous"}, {"name": "x", "kind": "integer"}]
    transport = _service_with(*names)
    transport.replies = [*[transport.replies[0]] * 2, scores(3)]
    client_of(transport).score(pd.DataFrame({"note": ["a", "b", "c"], **COLUMNS}))
    assert transport.paths == ["/models", "/models/m", "/score"]
    sent = np.load(io.BytesIO(transport.requests[-1].content))
    assert sent.tolist() == [[0.25, 0.5], [0.5, 1.0], [3.0, 2.0]]
    with pytest.raises(UnusableInput, match="'y'"):
        client_of(_service_with(*names)).score(pd.DataFrame({"x": [1.0]}), model="m")


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_words_dates_and_gaps_are_written_out_for_a_model_that_knows_them(frame: Any) -> None:
    transport = _service_with({"name": "cut", "kind": "category"}, {"name": "x", "kind": "continuous"})
    transport.replies = [transport.replies[0], scores(2)]
    client_of(transport).score(frame({"x": [1.5, None], "cut": ["good, or so", None]}), model="m")
    sent = transport.requests[-1]
    assert sent.headers["content-type"] == "text/csv"
    assert sent.content.decode() == 'cut,x\n"good, or so",1.5\n,\n'


def test_what_cannot_be_sent_is_refused_by_name_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("x\n1\n")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    transport = Scripted(scores())
    client = client_of(transport)
    pixels = images(1)[0]
    for given, message in (
        ([[1, 2], [3]], "items"),
        ([["a", "b"]], "must hold numbers"),
        ([[None, "x"]], "must hold numbers"),
        ([], "empty"),
        (np.array([1 + 2j]), "complex128"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
        ([Image.fromarray(pixels), pixels], r"items\[1\]: pictures and arrays cannot be mixed"),
        (b"GIF89a", "PNG or JPEG"),
        (tmp_path / "table.csv", "pandas or polars"),
        (tmp_path / "absent.png", "cannot be read"),
        (tmp_path / "broken.npy", "cannot be read"),
        (tmp_path / "objects.npy", "cannot be read"),
        (tmp_path / "empty", "holds no file"),
        ({"x": [1, 2], "y": [1]}, "one length"),
        ({}, "one length"),
        (pd.DataFrame({"x": []}), "no rows"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "same name"),
        (Image.new("LAB", (2, 2)), "mode LAB"),
    ):
        with pytest.raises(UnusableInput, match=message):
            client.score(given)
    with pytest.raises(UnusableInput, match="columns"):
        client.score([[1.0]], columns=["x"])
    with pytest.raises(UnusableInput, match="one row"):
        client.inpaint({"x": [1.0, 2.0]})
    with pytest.raises(UnusableInput, match="no mask"):
        client.inpaint({"x": [1.0]}, [1])
    assert not transport.requests


def test_a_column_of_words_is_named_where_the_model_knows_no_columns(client: Client) -> None:
    with pytest.raises(UnusableInput, match="column 'cut' holds"):
        client.score(pd.DataFrame({"x": [1.0], "cut": ["Ideal"]}), model="points")


def test_a_picture_from_a_camera_keeps_how_it_is_turned() -> None:
    lying, stream = Image.Exif(), io.BytesIO()
    lying[0x0112] = 6
    Image.new("L", (30, 20)).save(stream, "JPEG", exif=lying)
    transport = Scripted(scores(1))
    client_of(transport).score(Image.open(stream))
    sent = transport.requests[-1].read()
    png = sent[sent.index(b"\x89PNG") :]
    assert Image.open(io.BytesIO(png)).getexif().get(0x0112) == 6


def test_notes_of_the_service_come_with_the_scores() -> None:
    told = json.loads(scores().content) | {"notes": ["1 of 1 pictures were scaled down"]}
    found = client_of(Scripted(httpx.Response(200, content=json.dumps(told).encode()))).score([[0.5, 1.0]])
    assert found.notes == ["1 of 1 pictures were scaled down"]
    assert repr(found).endswith("note: 1 of 1 pictures were scaled down")


def test_arrays_of_several_sizes_are_told_what_to_do(client: Client) -> None:
    with pytest.raises(UnusableInput, match="pictures of several sizes are sent as images of Pillow"):
        client.score([np.zeros((8, 8)), np.zeros((8, 5))])
