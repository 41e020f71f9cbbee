"""Tables against a service whose model knows its columns: words, dates, gaps and truth values of several libraries."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sluice_client import Client, UnusableInput

from tests.service.servers import Server

DATES = [datetime.date(2024, 1, 2), datetime.date(2022, 5, 1)]
COLUMNS: dict[str, list[Any]] = {
    "id": [1, 2],
    "sold": ["2024-01-02", "2022-05-01"],
    "height": [171.5, 160.25],
    "rooms": [3, None],
    "colour": ["red", "blue"],
}
ROWS: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]

TABLES = {
    "a dictionary": COLUMNS,
    "pandas": pd.DataFrame(COLUMNS),
    "pandas with types": pd.DataFrame(COLUMNS).assign(
        sold=pd.to_datetime(COLUMNS["sold"]),
        rooms=pd.Series(COLUMNS["rooms"], dtype="Int64"),
        colour=pd.Categorical(COLUMNS["colour"]),
    ),
    "polars": pl.DataFrame(COLUMNS),
    "polars with types": pl.DataFrame(COLUMNS | {"sold": DATES}).with_columns(pl.col("colour").cast(pl.Categorical)),
    "pyarrow": pa.table(COLUMNS | {"sold": DATES}),
}


def expected(server: Server, rows: list[dict[str, Any]]) -> list[float]:
    answer = server.post("/score?model=homes", json={"items": rows})
    return [item["log_likelihood"] for item in answer.json()["items"]]


@pytest.mark.parametrize("kind", TABLES)
def test_every_table_gets_the_scores_of_its_rows(client: Client, server: Server, kind: str) -> None:
    found = client.score(TABLES[kind], model="homes")
    assert found.log_likelihood.tolist() == expected(server, ROWS)
    latents = client.encode(TABLES[kind], model="homes").array
    assert latents.shape == (2, 4)
    back = client.decode(latents, model="homes", log_abs_det=True)
    assert back.log_abs_det is not None
    assert [list(row) for row in back.array[:, 2:]] == [[row["colour"], row["sold"]] for row in ROWS]


def test_a_missing_date_and_truth_values_are_understood(client: Client, server: Server) -> None:
    frame = pd.DataFrame(
        {
            "sold": pd.to_datetime(["2024-01-02", None]),
            "height": [1.0, np.nan],
            "rooms": [True, False],
            "colour": [None, "red"],
        }
    )
    rows: list[dict[str, Any]] = [
        {"sold": "2024-01-02", "height": 1.0, "rooms": 1, "colour": None},
        {"sold": None, "height": None, "rooms": 0, "colour": "red"},
    ]
    assert client.score(frame, model="homes").log_likelihood.tolist() == expected(server, rows)


def test_many_rows_of_words_are_split_and_keep_their_order(client: Client, server: Server) -> None:
    many = pl.concat([pl.DataFrame({**COLUMNS, "rooms": [3, 2]})] * 450)
    found = client.score(many, model="homes").log_likelihood
    rows: list[dict[str, Any]] = [{**row, "rooms": rooms} for row, rooms in zip(ROWS, (3, 2), strict=True)]
    assert found.tolist() == expected(server, rows) * 450


def test_a_row_is_completed_by_name(client: Client) -> None:
    found = client.inpaint({**ROWS[0], "rooms": None, "colour": None}, model="homes", steps=5, seed=1).result()
    completed = dict(zip(found.columns, found.array[0], strict=True))
    assert (completed["height"], completed["sold"]) == (171.5, "2024-01-02")
    assert completed["colour"] in ("red", "blue")


def test_what_does_not_fit_is_named(client: Client) -> None:
    with pytest.raises(UnusableInput, match="'colour'"):
        client.score(pd.DataFrame(COLUMNS).drop(columns="colour"), model="homes")
