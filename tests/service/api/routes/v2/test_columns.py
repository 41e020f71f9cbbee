"""The columns of a table as tensors by name, in and out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service.api.routes.v2.requests import Request, binary, infer, outputs, request, tensor
from tests.service.helpers import Running, assert_problem, npy, running
from tests.service.tables import ROWS, SCHEMA, publish_homes

pytestmark = pytest.mark.anyio
BINARY = {"binary_data_output": True}


@pytest.fixture(scope="module")
async def homes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    root: Path = tmp_path_factory.mktemp("homes")
    publish_homes(root)
    async with running(root, max_items=100) as service:
        yield service


def texts(name: str, cells: list[str], shape: list[int] | None = None) -> tuple[dict[str, Any], bytes]:
    """A binary BYTES tensor."""
    data = b"".join(len(cell.encode()).to_bytes(4, "little") + cell.encode() for cell in cells)
    shape = [len(cells), 1] if shape is None else shape
    return tensor(name, shape, "BYTES", parameters={"binary_data_size": len(data)}), data


COLUMNS: dict[str, tuple[dict[str, Any], bytes]] = {
    "height": binary("height", np.array([[171.5], [160.25]]), "FP64"),
    "rooms": binary("rooms", np.array([[3], [2]]), "INT64"),
    "colour": texts("colour", ["red", "blue"]),
    "sold": texts("sold", ["2024-01-02", "2022-05-01"]),
}


def columns(**other: tuple[dict[str, Any], bytes] | None) -> list[tuple[dict[str, Any], bytes]]:
    """The rows of ROWS column by column, with some columns replaced, or left out where they are None."""
    return [found for found in (COLUMNS | other).values() if found is not None]


async def scores(service: Running, sent: Request | dict[str, Any]) -> list[float]:
    found: list[float] = outputs(await infer(service, "homes", sent))["log_likelihood"].tolist()
    return found


async def expected(service: Running, rows: list[dict[str, Any]]) -> list[float]:
    return [item["log_likelihood"] for item in (await service.post_json("/score", json={"items": rows}))["items"]]


async def test_metadata_describes_each_column(homes: Running) -> None:
    told = (await homes.http.get("/v2/models/homes")).json()
    found = {each["name"]: (each["datatype"], each["shape"]) for each in told["inputs"]}
    assert found["items"] == ("FP64", [-1, 4])
    assert [found[name] for name in SCHEMA.names] == [
        ("FP64", [-1, 1]),
        ("INT64", [-1, 1]),
        ("BYTES", [-1, 1]),
        ("BYTES", [-1, 1]),
    ]
    config = (await homes.http.get("/v2/models/homes/config")).json()
    assert all(each["optional"] for each in config["input"])
    told = (await homes.http.get("/v2/models/homes.inpaint")).json()
    assert {each["name"]: each["shape"] for each in told["inputs"]}["rooms"] == [1, 1]


async def test_columns_get_the_scores_of_rows(homes: Running) -> None:
    wanted = await expected(homes, ROWS)
    assert await scores(homes, request(*columns())) == wanted
    assert await scores(homes, request(*reversed(columns()))) == wanted
    flat = {
        "height": binary("height", np.array([171.5, 160.25]), "FP64"),
        "rooms": binary("rooms", np.array([3, 2], np.float32), "FP32"),
        "colour": texts("colour", ["red", "blue"], [2]),
        "sold": binary("sold", np.array([19_724, 19_113]), "INT64"),
    }
    assert await scores(homes, request(*columns(**flat))) == wanted
    listed = {
        "inputs": [
            tensor("height", [2, 1], "BYTES", data=["171.5", "160.25"]),
            tensor("rooms", [2], "INT64", data=[3, 2]),
            tensor("colour", [2], "BYTES", data=["red", "blue"]),
            tensor("sold", [2, 1], "BYTES", data=[["2024-01-02"], ["2022-05-01"]]),
        ]
    }
    assert await scores(homes, listed) == wanted


async def test_missing_values_are_nan_or_empty(homes: Running) -> None:
    gaps = [{**ROWS[0], "rooms": None}, {**ROWS[1], "height": None, "colour": None}]
    sent = columns(
        height=binary("height", np.array([171.5, np.nan]), "FP64"),
        rooms=texts("rooms", ["", "2"]),
        colour=texts("colour", ["red", ""]),
    )
    assert await scores(homes, request(*sent)) == await expected(homes, gaps)


async def test_rows_may_be_bytes_of_json_by_name_or_in_order(homes: Running) -> None:
    wanted = await expected(homes, ROWS)
    for rows in (ROWS, [dict(reversed(row.items())) for row in ROWS], [list(row.values()) for row in ROWS]):
        assert await scores(homes, request(texts("items", [json.dumps(row) for row in rows]))) == wanted


async def test_numbers_of_the_whole_row_are_in_the_units_of_the_columns(homes: Running) -> None:
    numbers = np.array([[171.5, 3, 1, 19_724], [160.25, 2, 0, 19_113]])
    assert await scores(homes, request(binary("items", numbers, "FP64"))) == await expected(homes, ROWS)


async def test_encoding_takes_columns_and_decoding_gives_them(homes: Running) -> None:
    latents = outputs(await infer(homes, "homes.encode", request(*columns(), parameters=BINARY)))["latents"]
    answer = await homes.http.post("/encode", json={"items": ROWS}, headers={"accept": "application/json"})
    assert latents.tolist() == pytest.approx(np.array(answer.json()["latents"]), abs=1e-6)
    wanted = [{"name": name} for name in SCHEMA.names]
    back = await infer(homes, "homes.decode", request(binary("latents", latents, "FP32"), outputs=wanted))
    rows = {each["name"]: each["data"] for each in back.json()["outputs"]}
    assert rows["height"] == pytest.approx([171.5, 160.25], abs=1e-3)
    assert (rows["rooms"], rows["colour"]) == ([3, 2], ["red", "blue"])
    assert rows["sold"] == ["2024-01-02", "2022-05-01"]


async def test_samples_come_in_the_units_of_the_columns_and_by_name(homes: Running) -> None:
    names = ["items", *SCHEMA.names]
    sent = request(outputs=[{"name": name} for name in names], parameters={"n": 5, "seed": 3})
    found = {each["name"]: each for each in (await infer(homes, "homes.sample", sent)).json()["outputs"]}
    rows = (await homes.post_json("/sample?n=5&seed=3"))["items"]
    for name in SCHEMA.names:
        assert found[name]["shape"] == [5, 1]
        assert found[name]["data"] == [row[name] for row in rows]
    answer = await homes.http.post("/sample?n=5&seed=3", headers={"accept": "application/x-npy"})
    assert npy(np.array(found["items"]["data"]).reshape(5, 4)) == answer.content
    assert (await infer(homes, "homes.sample", request())).json()["outputs"][1]["name"] == "seed"


async def test_what_is_missing_of_a_row_is_filled_in(homes: Running) -> None:
    row = columns(
        height=binary("height", np.array([171.5]), "FP64"),
        rooms=binary("rooms", np.array([np.nan]), "FP64"),
        colour=texts("colour", [""]),
        sold=texts("sold", ["2024-01-02"]),
    )
    parameters = {"seed": 1, "steps": 20, "n": 2}
    wanted = [{"name": name} for name in SCHEMA.names]
    answer = await infer(homes, "homes.inpaint", request(*row, outputs=wanted, parameters=parameters))
    found = {each["name"]: each["data"] for each in answer.json()["outputs"]}
    image = {**ROWS[0], "rooms": None, "colour": None}
    items = (await homes.post_json("/inpaint?seed=1&steps=20&n=2", json={"image": image}))["items"]
    assert found == {name: [item["pixels"][name] for item in items] for name in SCHEMA.names}
    whole = request(
        texts("image", [json.dumps(ROWS[0])]),
        binary("mask", np.array([[False, True, True, False]]), "BOOL"),
        outputs=wanted,
        parameters=parameters,
    )
    assert (await infer(homes, "homes.inpaint", whole)).json()["outputs"] == answer.json()["outputs"]


WRONG: dict[str, tuple[list[tuple[dict[str, Any], bytes]], int, str, str]] = {
    "a column that is missing": (columns(rooms=None), 400, "rooms", "'rooms' is missing"),
    "a column that is unknown": ([*columns(), texts("garden", ["a", "b"])], 400, "garden", "no input 'garden'"),
    "fewer rows": (columns(colour=texts("colour", ["red"])), 400, "colour", "has 1 rows"),
    "two in a row": (columns(rooms=binary("rooms", np.ones((2, 2)), "FP64")), 400, "rooms", r"[-1, 1]"),
    "no row": (columns(height=binary("height", np.ones((0, 1)), "FP64")), 400, "height", r"[-1, 1]"),
    "a word that is unknown": (columns(colour=texts("colour", ["red", "pink"])), 422, "colour", "item 1"),
    "a word for a number": (columns(height=texts("height", ["tall", "1"])), 422, "height", "'tall'"),
    "a number for a word": (columns(colour=binary("colour", np.ones(2), "FP64")), 422, "colour", "not one of"),
    "no time": (columns(sold=texts("sold", ["soon", ""])), 422, "sold", "not a time"),
    "no text": (
        columns(colour=(texts("colour", ["aa", "b"])[0], b"\x02\0\0\0\xff\xff\x01\0\0\0b")),
        400,
        "colour",
        "UTF-8",
    ),
    "too large a number": (
        columns(height=binary("height", np.array([1.0, 1e39]), "FP64")),
        422,
        "items[1]",
        "'height' is too large",
    ),
    "both forms": ([*columns(), binary("items", np.ones((2, 4)), "FP64")], 400, "items", "either items or"),
    "nothing": ([], 400, "items", "items is missing"),
    "a row that is no JSON": ([texts("items", ["{"])], 400, "items[0]", "not valid JSON"),
    "a row that is a number": ([texts("items", ["7"])], 422, "items[0]", "JSON object"),
    "a row that lacks a column": ([texts("items", ['{"rooms": 1}'])], 422, "items", "is missing"),
    "a list among objects": ([texts("items", [json.dumps(ROWS[0]), "[1]"])], 422, "items[1]", "no object"),
    "too many rows": ([binary("items", np.ones((101, 4)), "FP64")], 413, "items", "at most 100"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_with_a_column_is_said_by_its_name(homes: Running, case: str) -> None:
    sent, status, field, says = WRONG[case]
    answer = await infer(homes, "homes", request(*sent))
    assert says in assert_problem(answer, status, field)["detail"]
    assert (await homes.http.get("/v2/health/live")).status_code == 200
    assert await scores(homes, request(*columns())) == await expected(homes, ROWS)
    assert homes.waiting == 0
