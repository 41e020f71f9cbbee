"""Rows by name: order does not matter, and what does not fit is named."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tables import Column, Schema
from tables.cells import cell_of
from tables.errors import TableError
from tables.reading import open_table
from tables.rows import ColumnMismatch, rows_of_file, rows_of_objects, rows_of_text

SCHEMA = Schema(
    (
        Column("height", "continuous", low=150.0, high=190.0),
        Column("rooms", "integer", resolution=1.0, low=1.0, high=7.0),
        Column("colour", "category", resolution=1.0, high=1.0, categories=("blue", "red")),
        Column("sold", "time", resolution=1.0, low=19_000.0, high=19_900.0, unit="day"),
    ),
    left_out=("id",),
)
FIRST = {"height": 171.5, "rooms": 3, "colour": "red", "sold": "2024-01-02"}
NUMBERS = [171.5, 3.0, 1.0, 19_724.0]


def test_objects_in_any_order_give_the_same_numbers() -> None:
    rows = rows_of_objects(SCHEMA, [FIRST, dict(reversed(FIRST.items())), {**FIRST, "rooms": None, "id": 7}])
    assert rows.numbers[0].tolist() == rows.numbers[1].tolist() == NUMBERS
    assert math.isnan(rows.numbers[2, 1])
    assert rows.notes == ()
    assert rows.faults == {}


def test_an_extra_column_is_ignored_with_a_note() -> None:
    rows = rows_of_objects(SCHEMA, [{**FIRST, "shoe size": 44}])
    assert rows.numbers[0].tolist() == NUMBERS
    assert "'shoe size'" in rows.notes[0]


def test_a_missing_column_is_named_with_what_may_be_meant() -> None:
    renamed = {("hieght" if name == "height" else name): value for name, value in FIRST.items()}
    with pytest.raises(ColumnMismatch, match="item 1: column 'height' is missing; is 'hieght' it") as caught:
        rows_of_objects(SCHEMA, [FIRST, renamed])
    assert caught.value.column == "height"


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"colour": "green"}, "colour", "'green' is not one of blue, red"),
        ({"rooms": "many"}, "rooms", "'many' is not a number"),
        ({"sold": "soon"}, "sold", "'soon' is not a time"),
        ({"height": [1]}, "height", "must be a number"),
        ({"height": 10**400}, "height", "too large"),
    ],
)
def test_a_cell_that_does_not_fit_is_a_fault_of_its_row(change: dict[str, object], column: str, reason: str) -> None:
    rows = rows_of_objects(SCHEMA, [FIRST, {**FIRST, **change}])
    assert rows.numbers[0].tolist() == NUMBERS
    assert np.isnan(rows.numbers[1]).all()
    assert rows.faults[1].column == column
    assert reason in str(rows.faults[1])


def test_text_and_file_give_the_numbers_of_objects(tmp_path: Path) -> None:
    text = (
        "sold;colour;rooms;height;note\n2024-01-02;red;3;171,5;x\n2024-01-02;red;NA;171,5;\n2024-01-02;pink;3;1,5;\n1\n"
    )
    rows = rows_of_text(SCHEMA, text.encode())
    assert rows.numbers[0].tolist() == NUMBERS
    assert np.isnan(rows.numbers[1]).tolist() == [False, True, False, False]
    assert {row: str(fault) for row, fault in rows.faults.items()} == {
        2: "column 'colour' 'pink' is not one of blue, red",
        3: "has 1 fields where there are 5 columns",
    }
    (tmp_path / "a.csv").write_text(text)
    blocks = list(rows_of_file(SCHEMA, open_table(tmp_path / "a.csv")))
    assert np.concatenate([places for places, _ in blocks]).tolist() == [0, 1, 2, 3]
    assert np.array_equal(np.concatenate([each.numbers for _, each in blocks]), rows.numbers, equal_nan=True)
    assert {int(places[at]) for places, each in blocks for at in each.faults} == {2, 3}


def test_text_without_names_is_taken_in_the_models_order() -> None:
    rows = rows_of_text(SCHEMA, b"171.5,3,red,2024-01-02\n160,2,blue,2024-01-03\n")
    assert rows.numbers[0].tolist() == NUMBERS
    assert "model's order" in rows.notes[0]
    with pytest.raises(ColumnMismatch, match="3 columns and no names; the model takes 4"):
        rows_of_text(SCHEMA, b"171.5,3,0\n160,2,1\n")


@pytest.mark.parametrize(
    "data", [b"", b"a,b\n", b"\x00\x01\x02", b"height,rooms,colour,sold\n1,2,red,2024-01-02\n" * 3]
)
def test_text_that_is_no_table_is_refused(data: bytes) -> None:
    with pytest.raises(TableError):
        rows_of_text(SCHEMA, data, most=2)


def test_numbers_become_cells_again() -> None:
    cells = [cell_of(column, number) for column, number in zip(SCHEMA.columns, NUMBERS, strict=True)]
    assert cells == [171.5, 3, "red", "2024-01-02"]
    assert cell_of(SCHEMA.columns[0], math.nan) is None


@pytest.mark.parametrize(
    ("resolution", "offset", "number", "cell"),
    [
        (1.0, 0.0, 7.0, 7),
        (2.5, 0.0, 7.5, 7.5),
        (2.5, 0.0, 5.0, 5.0),
        (1.0, 2.5, 1.5, 1.5),
        (0.1, 0.35, 0.25000000000000006, 0.25),
        (0.5, 1.25, 0.75, 0.75),
        (0.01, 0.0, 1.1500000000000001, 1.15),
        (5.0, 3.0, 8.0, 8),
        (1e-6, 0.0, 3.0000000000000005e-06, 3e-6),
        (1e-7, 0.0, 3e-7, 3e-7),
        (1 / 3, 0.0, 2 / 3, 2 / 3),
    ],
)
def test_a_cell_is_written_as_finely_as_its_grid_lies(
    resolution: float, offset: float, number: float, cell: float
) -> None:
    found = cell_of(Column("dose", "integer", offset, resolution, -10.0, 10.0), number)
    assert found == cell
    assert type(found) is type(cell)


def test_a_time_keeps_its_fractions_of_a_second() -> None:
    column = Column("at", "time", high=1.0, unit="second")
    assert cell_of(column, 1.5) == "1970-01-01T00:00:01.500000"
    assert cell_of(column, 2.0) == "1970-01-01T00:00:02"


def test_a_time_may_be_iso_where_a_column_is_written_otherwise() -> None:
    schema = Schema((Column("sold", "time", resolution=1.0, high=19_900.0, unit="day", format="%d.%m.%Y"),))
    rows = rows_of_objects(schema, [{"sold": text} for text in ("02.01.2024", "2024-01-02", "2024-01-02T00:00:00")])
    assert rows.numbers.ravel().tolist() == [19_724.0] * 3
    assert "a time such as 31.12.2024" in str(rows_of_objects(schema, [{"sold": "01/02/2024"}]).faults[0])


def test_dates_of_digits_are_dates_and_no_numbers(tmp_path: Path) -> None:
    schema = Schema(
        (
            Column("sold", "time", resolution=1.0, high=19_900.0, unit="day", format="%Y%m%d"),
            Column("price", "continuous"),
        )
    )
    rows = rows_of_objects(schema, [{"sold": day, "price": 1.5} for day in ("20240102", 20240102, "2024-01-02")])
    assert rows.numbers[:, 0].tolist() == [19_724.0] * 3
    (tmp_path / "a.csv").write_text("sold,price\n20240102,1.5\n20240102,2.5\n")
    ((_, found),) = rows_of_file(schema, open_table(tmp_path / "a.csv"))
    assert found.numbers[:, 0].tolist() == [19_724.0] * 2


def test_a_word_may_be_written_as_json_or_other_programs_write_it(tmp_path: Path) -> None:
    schema = Schema(
        (
            Column("sure", "category", resolution=1.0, high=1.0, categories=("FALSE", "TRUE")),
            Column("size", "category", resolution=1.0, high=1.0, categories=("1.0", "2.0")),
            Column("flag", "integer", resolution=1.0, high=1.0),
        )
    )
    cells = [(True, 2, True), ("true", "2", "True"), ("TRUE", 2.0, 1)]
    rows = rows_of_objects(schema, [dict(zip(schema.names, row, strict=True)) for row in cells])
    assert rows.numbers.tolist() == [[1.0, 1.0, 1.0]] * 3
    (tmp_path / "a.csv").write_text("sure,size,flag\nTrue,2,True\ntrue,1,maybe\n")
    ((_, found),) = rows_of_file(schema, open_table(tmp_path / "a.csv"))
    assert found.numbers[0].tolist() == [1.0, 1.0, 1.0]
    assert str(found.faults[1]) == "column 'flag' 'maybe' is not a number"


def test_text_below_titles_is_read_as_a_file_is(tmp_path: Path) -> None:
    text = "Homes of May,,,\n\nheight,rooms,colour,sold\n171.5,3,red,2024-01-02\n160,2,blue,2024-01-03\n"
    (tmp_path / "a.csv").write_text(text)
    ((places, found),) = rows_of_file(SCHEMA, open_table(tmp_path / "a.csv"))
    assert places.tolist() == [0, 1]
    assert found.numbers[0].tolist() == rows_of_text(SCHEMA, text.encode()).numbers[0].tolist() == NUMBERS


def test_a_time_of_day_may_have_seconds_or_none() -> None:
    schema = Schema((Column("start", "time", high=1440.0, unit="minute", format="%H:%M"),))
    rows = rows_of_objects(schema, [{"start": text} for text in ("08:15", "08:15:30", "8:15 AM", "25:10")])
    assert rows.numbers[:3, 0].tolist() == [495.0, 495.5, 495.0]
    assert str(rows.faults[3]) == "column 'start' '25:10' is not a time such as 23:59"
