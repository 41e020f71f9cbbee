"""Rows of a table's model over HTTP: by column name, in any order, with missing cells."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.media.npy import from_npy
from tests.service.helpers import NPY, Running, assert_problem, npy, running
from tests.service.tables import CSV, ROWS, SCHEMA, publish_homes

pytestmark = pytest.mark.anyio

TEXT = "colour;height;id;sold;rooms\nred;171,5;1;2024-01-02;3\nblue;160,25;2;2022-05-01;2\n"


@pytest.fixture(scope="module")
def homes_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("homes")
    publish_homes(root)
    return root


@pytest.fixture
async def homes(homes_store: Path) -> AsyncIterator[Running]:
    async with running(homes_store) as service:
        yield service


async def scores(service: Running, **options: Any) -> list[float]:
    return [item["log_likelihood"] for item in (await service.post_json("/score", **options))["items"]]


async def test_every_form_of_the_same_rows_gets_the_same_answer(homes: Running) -> None:
    expected = await scores(homes, json={"items": ROWS})
    assert len(set(expected)) == 2
    turned = [dict(reversed(row.items())) for row in ROWS]
    assert await scores(homes, json={"items": turned}) == expected
    assert await scores(homes, content=TEXT.encode(), headers=CSV) == expected
    assert await scores(homes, content=TEXT.encode("utf-16"), headers=CSV) == expected
    assert await scores(homes, json={"items": [list(row.values()) for row in ROWS]}) == expected
    numbers = np.array([[171.5, 3, 1, 19_724], [160.25, 2, 0, 19_113]])
    assert await scores(homes, json={"items": numbers.tolist()}) == expected
    assert await scores(homes, content=npy(numbers), headers=NPY) == expected


async def test_a_bad_row_is_told_in_its_place_where_one_asks_for_that(homes: Running) -> None:
    bad = {**ROWS[0], "colour": "green"}
    rows = [bad, ROWS[0], {**bad, "height": "tall"}, ROWS[1], bad]
    assert_problem(await homes.http.post("/score", json={"items": rows}), 422, "items[0]")
    found = await homes.post_json("/score?bad_rows=skip", json={"items": rows})
    assert [item["log_likelihood"] is None for item in found["items"]] == [True, False, True, False, True]
    assert "'green' is not" in found["items"][0]["reason"]
    assert "'tall' is not" in found["items"][2]["reason"]
    assert [found["items"][at]["log_likelihood"] for at in (1, 3)] == await scores(homes, json={"items": ROWS})
    assert found["group"]["count"] == 2
    as_text = await homes.post_json(
        "/score?bad_rows=skip", content=f"{TEXT}red;;3;2022-05-01;x\n".encode(), headers=CSV
    )
    assert as_text["items"][2]["reason"].startswith("column 'rooms'")
    numbers = np.array([[171.5, 3, 1, 19_724], [np.inf, 2, 0, 19_113]])
    as_numbers = await homes.post_json("/score?bad_rows=skip", content=npy(numbers), headers=NPY)
    assert as_numbers["items"][1]["reason"] == "column 'height' is too large"
    assert_problem(await homes.http.post("/score?bad_rows=skip", json={"items": [bad, bad]}), 422, "items[0]")
    assert_problem(await homes.http.post("/score?bad_rows=ignore", json={"items": rows}), 422, "bad_rows")


async def test_an_extra_column_is_ignored_with_a_note(homes: Running) -> None:
    found = await homes.post_json("/score", json={"items": [{**row, "shoe size": 44, "id": 7} for row in ROWS]})
    assert [item["log_likelihood"] for item in found["items"]] == await scores(homes, json={"items": ROWS})
    assert found["notes"] == ["ignored, since the model has no such column: 'shoe size'"]
    assert (await homes.post_json("/score", json={"items": ROWS}))["notes"] == []


async def test_missing_cells_are_drawn_and_the_answer_is_the_same_again(homes: Running) -> None:
    gaps = [{**ROWS[0], "rooms": None}, {**ROWS[1], "height": "NA"}]
    found = await scores(homes, json={"items": gaps})
    assert np.isfinite(found).all()
    assert await scores(homes, json={"items": gaps}) == found
    text = "height,rooms,colour,sold\n171.5,,red,2024-01-02\nNA,2,blue,2022-05-01\n"
    assert await scores(homes, content=text.encode(), headers=CSV) == found
    numbers = np.array([[171.5, np.nan, 1, 19_724], [np.nan, 2, 0, 19_113]])
    assert await scores(homes, content=npy(numbers), headers=NPY) == found
    assert await scores(homes, json={"items": gaps[:1]}) == found[:1]


@pytest.mark.parametrize(
    ("items", "says", "field"),
    [
        ([{k: v for k, v in ROWS[0].items() if k != "rooms"}], "column 'rooms' is missing", "items"),
        ([{("Rooms" if k == "rooms" else k): v for k, v in ROWS[0].items()}], "is 'Rooms' it", "items"),
        ([ROWS[0], {**ROWS[1], "colour": "pink"}], "column 'colour' 'pink' is not one of blue, red", "items[1]"),
        ([{**ROWS[0], "height": "tall"}], "column 'height' 'tall' is not a number", "items[0]"),
        ([{**ROWS[0], "height": 1e39}], "column 'height' is too large", "items[0]"),
        ([{**ROWS[0], "sold": "soon"}], "column 'sold' 'soon' is not a time", "items[0]"),
        ([[1, 2, 3]], "item 0 has 3 cells; a row has 4", "items[0]"),
        ([ROWS[0], [1, 2, 3, 4], 5], "item 1 is no object by column name", "items[1]"),
        ([], "must hold rows", "items"),
        ("row", "must hold rows", "items"),
    ],
)
async def test_rows_that_do_not_fit_are_named(homes: Running, items: Any, says: str, field: str) -> None:
    answer = await homes.http.post("/score", json={"items": items})
    assert_problem(answer, 422, field)
    assert says in answer.json()["detail"]
    assert await scores(homes, json={"items": ROWS})


async def test_ignored_columns_are_told_by_every_way_in(homes: Running) -> None:
    note = ["ignored, since the model has no such column: 'shoe size'"]
    row = {**ROWS[0], "shoe size": 44}
    assert (await homes.post_json("/encode", json={"items": [row]}))["notes"] == note
    body = {"image": {**row, "rooms": None}}
    assert (await homes.post_json("/inpaint?steps=2", json=body))["notes"] == note
    events = await homes.http.post("/inpaint?steps=2", json=body, headers={"accept": "text/event-stream"})
    assert note[0] in events.text
    begun = await homes.http.put("/inpaint/a-row-of-homes-1?steps=2", json=body)
    assert begun.json()["notes"] == note
    assert (await homes.post_json("/encode", json={"items": ROWS}))["notes"] == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"height,rooms,colour\n1,2,red\n", "column 'sold' is missing"),
        (b"height,rooms,colour,sold\n1,2,red\n", "item 0: has 3 fields"),
        (b"\x00\x01\x02\x03\x04", "it is no text"),
        (b"height,rooms,colour,sold\n" + b"1,2,red,2024-01-02\n" * 10_001, "at most"),
    ],
)
async def test_csv_that_does_not_fit_is_refused(homes: Running, data: bytes, says: str) -> None:
    answer = await homes.http.post("/score", content=data, headers=CSV)
    assert answer.status_code in (413, 422), answer.text
    assert says in answer.json()["detail"]


async def test_csv_to_a_model_without_columns_is_refused(service: Running) -> None:
    assert_problem(await service.http.post("/score", content=b"1,2\n", headers=CSV), 415, "Content-Type")
    assert_problem(await service.http.post("/inpaint", content=b"1,2\n", headers=CSV), 415, "Content-Type")


async def test_samples_come_by_name_as_csv_and_as_numbers(homes: Running) -> None:
    found = (await homes.post_json("/sample?n=5&seed=3"))["items"]
    assert [list(row) for row in found] == [list(SCHEMA.names)] * 5
    assert {row["colour"] for row in found} <= {"blue", "red"}
    assert all(isinstance(row["rooms"], int) and len(row["sold"]) == 10 for row in found)
    answer = await homes.http.post("/sample?n=5&seed=3", headers={"accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert [(row["colour"], int(row["rooms"]), row["sold"]) for row in rows] == [
        (row["colour"], row["rooms"], row["sold"]) for row in found
    ]
    answer = await homes.http.post("/sample?n=5&seed=3", headers={"accept": "application/x-npy"})
    assert from_npy(answer.content)[:, 1].tolist() == [row["rooms"] for row in found]
    assert len(await scores(homes, json={"items": found})) == 5


async def test_inpainting_fills_in_what_is_null_and_keeps_the_rest(homes: Running) -> None:
    row = {**ROWS[0], "rooms": None, "colour": None}
    url = "/inpaint?seed=1&steps=20&n=2"
    found = await homes.post_json(url, json={"image": row})
    for item in found["items"]:
        assert item["pixels"] == {**item["pixels"], "height": 171.5, "sold": "2024-01-02"}
        assert item["pixels"]["colour"] in ("blue", "red")
        assert isinstance(item["pixels"]["rooms"], int)
    masked = await homes.post_json(url, json={"image": {**ROWS[0]}, "mask": {"rooms": 1, "colour": 1}})
    assert [item["pixels"] for item in masked["items"]] == [item["pixels"] for item in found["items"]]
    text = b"height,rooms,colour,sold\n171.5,,,2024-01-02\n"
    answer = await homes.http.post(url, content=text, headers={**CSV, "accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["colour"] for row in rows] == [item["pixels"]["colour"] for item in found["items"]]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"image": ROWS[0]}, "send a mask"),
        ({"image": ROWS[0], "mask": {"shoes": 1}}, "mask: there is no column 'shoes'"),
        ({"image": {"height": None}}, "is missing"),
        ({"image": ROWS[0], "mask": [1, 0]}, "mask must be a list of 4"),
        ({}, "must hold rows"),
    ],
)
async def test_inpaintings_that_do_not_fit_are_refused(homes: Running, body: Any, says: str) -> None:
    answer = await homes.http.post("/inpaint?steps=2", json=body)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]


async def test_latents_go_back_to_rows(homes: Running) -> None:
    found = await homes.post_json("/encode", json={"items": ROWS})
    back = await homes.post_json("/decode", json={"latents": found["latents"]})
    assert [{**row, "height": round(row["height"], 3)} for row in back["items"]] == ROWS


async def test_the_schema_is_told(homes: Running) -> None:
    told = (await homes.http.get("/models/homes")).json()["schema"]
    assert [column["name"] for column in told["columns"]] == list(SCHEMA.names)
    assert told["columns"][2]["categories"] == ["blue", "red"]
    assert told["columns"][3]["unit"] == "day"
    assert (await homes.http.get("/openapi.json")).status_code == 200
