"""Tables as they come: dialects, kinds of columns, what is left out, and errors that name the place."""

from __future__ import annotations

import gc
import gzip
import io
import time
from datetime import date, datetime
from pathlib import Path
from types import FunctionType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tables.errors import TableError
from tables.loading import LoadedTable, Wishes, load_table
from tables.reading import open_table
from tables.rows import rows_of_file
from tables.schema import Kind

ROWS = 60
RNG = np.random.default_rng(0)
PRICES = np.round(50 + 10 * RNG.normal(size=ROWS), 2)
WEIGHTS = RNG.normal(size=ROWS)


def write(path: Path, header: str, rows: list[str], encoding: str = "utf-8") -> Path:
    data = "\n".join([*([header] if header else []), *rows]).encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def kinds(table: LoadedTable) -> dict[str, str]:
    return {column.name: column.kind for column in table.schema.columns}


def test_kinds_are_found_and_told(tmp_path: Path) -> None:
    rows = [
        f"{row + 7},{['red', 'blue'][row % 2]},2024-0{1 + row % 9}-11,{PRICES[row]:.2f},{row % 5},{WEIGHTS[row]},yes,3"
        for row in range(ROWS)
    ]
    table = load_table(write(tmp_path / "a.csv", "id,colour,sold,price,rooms,weight,sure,one", rows))
    assert kinds(table) == {
        "colour": "category",
        "sold": "time",
        "price": "integer",
        "rooms": "integer",
        "weight": "continuous",
    }
    columns = {column.name: column for column in table.schema.columns}
    assert columns["colour"].categories == ("blue", "red")
    assert columns["price"].resolution == 0.01
    assert columns["sold"].unit == "day"
    told = "\n".join(table.told())
    assert "left out 'id': numbers the rows" in told
    assert "left out 'one': is constant" in told
    assert "left out 'sure': is constant ('yes'" in told
    assert "the first line holds the names" in told
    assert np.allclose(table.schema.numbers(table.entries)[:, 2], PRICES)


@pytest.mark.parametrize(
    ("name", "encoding", "comma"),
    [
        ("a.csv", "utf-8", False),
        ("a.csv", "utf-8-sig", False),
        ("a.csv", "utf-16", True),
        ("a.csv", "utf-16-le", False),
        ("a.csv", "latin-1", True),
        ("a.csv.gz", "utf-8", True),
        ("a.tsv", "utf-8", False),
    ],
)
def test_encodings_separators_decimal_commas_and_gzip_give_the_same_table(
    tmp_path: Path, name: str, encoding: str, comma: bool
) -> None:
    separator = "\t" if name.endswith("tsv") else ";"
    rows = [f"{price:.2f}{separator}{weight:.6f}" for price, weight in zip(PRICES, WEIGHTS, strict=True)]
    rows = [row.replace(".", ",") for row in rows] if comma else rows
    table = load_table(write(tmp_path / name, f"Größe{separator}Gewicht", rows, encoding))
    assert table.schema.names == ("Größe", "Gewicht")
    assert np.allclose(table.schema.numbers(table.entries), np.stack([PRICES, WEIGHTS], 1), atol=1e-5)
    assert ("decimal commas" in table.notes[0]) == comma


def test_parquet_gives_the_same_table(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {"price": PRICES, "weight": WEIGHTS, "colour": ["red", "blue"] * (ROWS // 2)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    table = load_table(tmp_path / "a.parquet")
    assert kinds(table) == {"price": "integer", "weight": "continuous", "colour": "category"}
    assert np.allclose(table.schema.numbers(table.entries)[:, 0], PRICES)


def test_names_that_look_like_years_are_names(tmp_path: Path) -> None:
    rows = [f"{a:.3f},{b:.3f},{a + b:.3f}" for a, b in zip(PRICES, WEIGHTS, strict=True)]
    table = load_table(write(tmp_path / "a.csv", "2019,2020,2021", rows))
    assert table.schema.names == ("2019", "2020", "2021")
    assert len(table.entries) == ROWS


def test_a_file_without_names_gets_numbers_for_names(tmp_path: Path) -> None:
    rows = [f"{a},{b}" for a, b in zip(PRICES, WEIGHTS, strict=True)]
    path = write(tmp_path / "a.csv", "", rows)
    assert load_table(path).schema.names == ("1", "2")
    assert len(load_table(path).entries) == ROWS
    assert load_table(path, Wishes(names=True)).schema.names == (str(PRICES[0]), str(WEIGHTS[0]))


def test_missing_cells_and_stray_words_are_missing_values(tmp_path: Path) -> None:
    cells = [str(weight) for weight in WEIGHTS]
    cells[3], cells[4], cells[5], cells[9] = "", "NA", "null", "broken"
    rows = [f"{a},{b}" for a, b in zip(PRICES, cells, strict=True)]
    table = load_table(write(tmp_path / "a.csv", "a,b", rows))
    assert np.flatnonzero(np.isnan(table.entries[:, 1])).tolist() == [3, 4, 5, 9]
    assert table.schema.columns[1].missing == pytest.approx(4 / ROWS)
    assert any("'broken'" in note and "count as missing" in note for note in table.notes)


def test_rows_of_another_length_are_left_out_by_number(tmp_path: Path) -> None:
    rows = [f"{a},{b}" for a, b in zip(PRICES, WEIGHTS, strict=True)]
    rows.insert(2, "1,2,3")
    table = load_table(write(tmp_path / "a.csv", "a,b", [*rows, "7"]))
    assert len(table.entries) == ROWS
    assert any("row 3 has 3 fields where there are 2 columns" in note and "1 more" in note for note in table.notes)


def test_wishes_override_what_was_found(tmp_path: Path) -> None:
    rows = [f"{row % 3},{a},{b},{row % 2}" for row, (a, b) in enumerate(zip(PRICES, WEIGHTS, strict=True))]
    path = write(tmp_path / "a.csv", "code,a,b,class", rows)
    table = load_table(path, Wishes(kinds=(("code", "category"), ("a", "continuous")), label="class"))
    assert kinds(table) == {"code": "category", "a": "continuous", "b": "continuous"}
    assert table.label is not None
    assert set(table.label) == {"0", "1"}
    assert load_table(path, Wishes(drop=("code", "class"))).schema.names == ("a", "b")
    assert load_table(path, Wishes(columns=("b", "a"))).schema.names == ("a", "b")
    with pytest.raises(TableError, match="--label: there is no column 'klass'; did you mean 'class'"):
        load_table(path, Wishes(label="klass"))
    with pytest.raises(TableError, match="the kinds are continuous, integer, category, time"):
        load_table(path, Wishes(kinds=(("a", "word"),)))  # type: ignore[arg-type]


def test_numbers_far_from_zero_keep_their_precision(tmp_path: Path) -> None:
    stamps = 1_700_000_000 + np.arange(ROWS) ** 2
    rows = [f"{a},{b:.0f}" for a, b in zip(WEIGHTS, stamps, strict=True)]
    table = load_table(write(tmp_path / "a.csv", "a,stamp", rows))
    assert np.array_equal(table.schema.numbers(table.entries)[:, 1], stamps)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("a,b\n", "has no rows"),
        ("a,b\n1,2\n1,7\n1,4\n", "1 usable columns.*'a' is constant"),
        ("\0\1\2\3", "zero bytes"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=fault) as caught:
        load_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no such format")
    with pytest.raises(TableError, match=r"a\..*cannot be read as a table"):
        load_table(path)


def test_places_of_bad_rows_are_known_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tables import reading

    monkeypatch.setattr(reading, "_BLOCK_BYTES", 64)
    rows = [f"{row}.5,{row}.25" if row % 7 else "bad" for row in range(ROWS)]
    table = reading.open_table(write(tmp_path / "a.csv", "a,b", rows))
    places: list[int] = []
    faults: dict[int, str] = {}
    values: dict[int, str] = {}
    for block in table.blocks():
        places += block.rows.tolist()
        faults |= block.faults
        values |= dict(zip(block.rows.tolist(), block.cells["a"].to_pylist(), strict=True))
    assert sorted([*places, *faults]) == list(range(ROWS))
    assert list(faults) == [row for row in range(ROWS) if row % 7 == 0]
    assert all(values[row] == f"{row}.5" for row in places)


def test_no_thread_holds_what_is_python_s_once_a_table_is_left(tmp_path: Path) -> None:
    from tables import reading

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():  # what pyarrow reads ahead
                time.sleep(0.2)
            return super().read(size)

    class File:
        name = "a.csv"

        def open(self, mode: str) -> IO[bytes]:
            return Slow(path.read_bytes())

        def read_bytes(self) -> bytes:
            return path.read_bytes()

    path = write(tmp_path / "a.csv", "a,b", [f"{row}.5,{row}.25" for row in range(30_000)])
    blocks = reading.open_table(File()).blocks(rows=1)
    next(blocks)
    assert handlers_of_bad_rows() == 1
    del blocks
    assert handlers_of_bad_rows() == 0


def handlers_of_bad_rows() -> int:
    functions = [each for each in gc.get_objects() if type(each) is FunctionType]
    return sum(each.__qualname__.startswith("_noting.") for each in functions)


def test_a_word_far_below_numbers_is_found_and_the_numbers_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tables import reading

    monkeypatch.setattr(reading, "_BLOCK_BYTES", 256)
    rows = [f"{value},{value * 2}" for value in WEIGHTS]
    plain = load_table(write(tmp_path / "plain.csv", "a,b", rows))
    rows[-1] = f"{WEIGHTS[-1]},broken"
    table = load_table(write(tmp_path / "word.csv", "a,b", rows))
    assert np.isnan(table.entries[-1]).tolist() == [False, True]
    assert np.array_equal(table.entries[:-1], plain.entries[:-1])
    assert "b: 1 cells that are no numbers ('broken') count as missing" in table.notes


def test_cells_that_mean_missing_are_missing_among_numbers(tmp_path: Path) -> None:
    rows = [f"{value},{value * 2}" for value in WEIGHTS]
    rows[3], rows[50] = f"{WEIGHTS[3]},", f"NA,{WEIGHTS[50]}"
    table = load_table(write(tmp_path / "a.csv", "a,b", rows))
    assert np.argwhere(np.isnan(table.entries)).tolist() == [[3, 1], [50, 0]]


def values(columns: int) -> list[str]:
    return [",".join(f"{value:.3f}" for value in row) for row in RNG.normal(size=(ROWS, columns))]


def test_titles_above_the_names_are_no_part_of_the_table(tmp_path: Path) -> None:
    rows = values(3)
    plain = load_table(write(tmp_path / "plain.csv", "height,width,depth", rows))
    titled = load_table(write(tmp_path / "titled.csv", "Report of May,,\n\nheight,width,depth", rows))
    assert titled.schema.names == plain.schema.names
    assert np.array_equal(titled.entries, plain.entries)
    assert "line 3 holds the names; what stands above is no part of the table" in titled.notes[0]
    remark = load_table(write(tmp_path / "remark.csv", "# source: a meter", rows))
    assert remark.schema.names == ("1", "2", "3")
    assert len(remark.entries) == ROWS


def test_a_name_of_several_lines_is_one_name(tmp_path: Path) -> None:
    rows = [*values(2), "1,2,3"]
    table = load_table(write(tmp_path / "a.csv", '"price\n(EUR)",weight', rows))
    assert table.schema.names == ("price\n(EUR)", "weight")
    assert len(table.entries) == ROWS
    assert any(f"row {ROWS + 1} has 3 fields" in note for note in table.notes)


@pytest.mark.parametrize(
    ("header", "before", "after", "names"),
    [
        ('"height","weight"', '"r{}",', "", ("height", "weight")),
        ("height,weight", "", ",", ("height", "weight")),
        ("height,weight,", "", ",", ("height", "weight")),
        (",height,weight", "r{},", "", ("height", "weight")),
    ],
)
def test_names_may_lack_that_of_the_first_or_the_last_column(
    tmp_path: Path, header: str, before: str, after: str, names: tuple[str, ...]
) -> None:
    rows = [before.format(number) + row + after for number, row in enumerate(values(2))]
    table = load_table(write(tmp_path / "a.csv", header, rows))
    assert table.schema.names == names
    assert len(table.entries) == ROWS


def test_years_among_words_are_names(tmp_path: Path) -> None:
    rows = [f"c{number},{row}" for number, row in enumerate(values(3))]
    table = load_table(write(tmp_path / "a.csv", "country,2019,2020,2021", rows))
    assert table.schema.names == ("2019", "2020", "2021")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n1,2,3\n4,5,6,7\n", "no row can be read: row 1 has 3 fields where there are 2 columns, .* 1 more"),
        ("height weight\n1 2\n3 4\n5 6\n", "has one column; .* commas, semicolons, tabs or bars"),
        ('a,b\n1,"2\n' + "3,4\n" * 40_000, "quotation mark"),
    ],
)
def test_text_that_cannot_be_taken_apart_says_what_to_do(tmp_path: Path, text: str, fault: str | None) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    if fault is None:
        assert load_table(path).schema.names == ("a", "b")
        return
    with pytest.raises(TableError, match=fault):
        load_table(path)


def test_columns_of_parquet_that_hold_no_cells_are_left_out_with_their_type(tmp_path: Path) -> None:
    import datetime as dt

    import pyarrow
    from pyarrow import parquet

    clock = [dt.time(row % 24, row % 60, 7) for row in range(ROWS)]
    spans = [dt.timedelta(seconds=row // 2 * 0.5) for row in range(ROWS)]
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(values) for values in (PRICES, WEIGHTS, clock, spans, [[1, 2]] * ROWS, [None] * ROWS)],
        names=["price", "price", "clock", "span", "list", "empty"],
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    loaded = load_table(tmp_path / "a.parquet")
    assert loaded.schema.names == ("price", "price (2)", "clock", "span")
    numbers = loaded.schema.numbers(loaded.entries)
    assert np.allclose(numbers[:, 1], WEIGHTS)
    assert loaded.schema.columns[2].format == "%H:%M:%S"
    assert numbers[25, 2] * 60 == pytest.approx((1 * 60 + 25) * 60 + 7, abs=0.01)
    assert numbers[7, 3] == 1.5
    told = "\n".join(loaded.told())
    assert "left out 'list': holds list<element: int64>: no numbers, words or times" in told
    assert "left out 'empty': every cell is missing" in told
    with pytest.raises(TableError, match="column 'list' holds list"):
        load_table(tmp_path / "a.parquet", Wishes(columns=("price", "list")))


def test_a_wish_for_times_names_a_cell_that_is_none(tmp_path: Path) -> None:
    rows = [f"2024-01-{1 + number % 28:02},{row}" for number, row in enumerate(values(1))]
    rows[::3] = [f"week {number},{row}" for number, row in enumerate(values(1)[::3])]
    path = write(tmp_path / "a.csv", "day,a", rows)
    with pytest.raises(TableError, match=r"column 'day' holds 'week 0', which is no time .* such as 2024-12-31"):
        load_table(path, Wishes(kinds=(("day", "time"),)))
    path = write(tmp_path / "b.csv", "day,a", [f",{row}" for row in values(1)])
    with pytest.raises(TableError, match="column 'day' every cell is missing"):
        load_table(path, Wishes(kinds=(("day", "time"),)))


@pytest.mark.parametrize("first", [True, False])
def test_a_sensor_that_failed_for_a_while_is_a_column_of_numbers_whenever_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setattr("tables.reading._BLOCK_BYTES", 2000)
    cells = [f"{place * 1.37 % 9:.4f}" for place in range(2000)]
    bad = range(20) if first else range(1980, 2000)
    for place in bad:
        cells[place] = f"err{place}"
    rows = [f"{place * 0.61 % 5:.4f},{cell}" for place, cell in enumerate(cells)]
    table = load_table(write(tmp_path / "a.csv", "a,b", rows))
    assert table.schema.names == ("a", "b")
    assert np.flatnonzero(np.isnan(table.entries[:, 1])).tolist() == list(bad)
    assert any("20 cells that are no numbers" in note for note in table.notes)


def test_a_column_with_a_very_long_name_is_left_out(tmp_path: Path) -> None:
    rows = [f"{a},{b},{b}" for a, b in zip(PRICES, WEIGHTS, strict=True)]
    table = load_table(write(tmp_path / "a.csv", f"a,b,{'c' * 300}", rows))
    assert table.schema.names == ("a", "b")
    assert "has a name of 300 characters" in table.left_out[0].reason


def test_too_many_columns_are_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tables.loading.MOST_COLUMNS", 2)
    path = write(tmp_path / "a.csv", "a,b,c", [f"{place},{place % 7},{place % 5}" for place in range(50)])
    with pytest.raises(TableError, match="has 3 columns; at most 2 are taken: --columns"):
        load_table(path)


@pytest.mark.parametrize("kind", ["string_view", "large_string"])
def test_every_type_of_text_of_parquet_is_text(tmp_path: Path, kind: str) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    words = pyarrow.array(["red", "blue"] * 40, getattr(pyarrow, kind)())
    numbers = [place * 1.37 % 9 for place in range(80)]
    parquet.write_table(pyarrow.table({"c": words, "x": numbers}), tmp_path / "a.parquet")
    assert load_table(tmp_path / "a.parquet").schema.columns[0].categories == ("blue", "red")


def test_groups_of_digits_are_read_alike_for_training_and_for_scores(tmp_path: Path) -> None:
    rows = [f"{number % 50},25;{number // 1000}.{number % 1000:03}" for number in range(1000, 9999, 97)]
    rows[3] = "3,25;957"
    path = write(tmp_path / "a.csv", "preis;umsatz", rows)
    table = load_table(path)
    assert table.schema.numbers(table.entries)[:4, 1].tolist() == [1000, 1097, 1194, 957]
    ((_, scored),) = rows_of_file(table.schema, open_table(path))
    assert np.array_equal(scored.numbers, table.schema.numbers(table.entries))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([bool(row % 3) for row in range(ROWS)]),
        pa.array([[0.1, 0.2, 0.7][row % 3] for row in range(ROWS)], pa.float32()),
        pa.array([1.0, 2.0, None] * (ROWS // 3)),
        pa.array([2**60 + row % 3 for row in range(ROWS)]),
        pa.array([[1_234_567.0, 1_234_568.0, 0.5][row % 3] for row in range(ROWS)]),
        pa.array([date(2024, 1, 1 + row % 3) for row in range(ROWS)]),
        pa.array([datetime(2024, 1, 1 + row % 3, 10, 30) for row in range(ROWS)]),
    ],
    ids=lambda cells: str(cells.type),
)
def test_what_is_no_text_is_a_category_where_the_user_says_so(tmp_path: Path, column: Any) -> None:
    parquet.write_table(pa.table({"line": column, "x": WEIGHTS, "y": PRICES}), tmp_path / "a.parquet")
    table = load_table(tmp_path / "a.parquet", Wishes(kinds=(("line", "category"),)))
    assert kinds(table)["line"] == "category"
    ((_, scored),) = rows_of_file(table.schema, open_table(tmp_path / "a.parquet"))
    assert not scored.faults
    assert scored.numbers == pytest.approx(table.schema.numbers(table.entries), nan_ok=True)
    present = [cell for cell in column.to_pylist() if cell is not None]
    assert len(table.schema.columns[0].categories) == len(set(present))


def test_a_category_has_at_most_a_thousand_values(tmp_path: Path) -> None:
    numbers = np.arange(1001)
    parquet.write_table(pa.table({"line": numbers, "x": numbers % 7, "y": numbers % 5}), tmp_path / "a.parquet")
    with pytest.raises(TableError, match="'line' has 1,001 different values; a category has at most 1000"):
        load_table(tmp_path / "a.parquet", Wishes(kinds=(("line", "category"),)))


@pytest.mark.parametrize("kind", ["continuous", "integer"])
def test_points_in_time_are_no_numbers(tmp_path: Path, kind: Kind) -> None:
    days = [date(2024, 1, 1 + row % 3) for row in range(ROWS)]
    parquet.write_table(pa.table({"when": days, "x": WEIGHTS, "y": PRICES}), tmp_path / "a.parquet")
    with pytest.raises(TableError, match="'when' holds points in time"):
        load_table(tmp_path / "a.parquet", Wishes(kinds=(("when", kind),)))


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
@pytest.mark.parametrize("bad", ['0.5,"0.25', '"0.5,0.25', '0.5,"tall'])
@pytest.mark.parametrize("names", [None, ["a"]])
def test_a_quotation_mark_that_is_not_closed_is_told(
    tmp_path: Path, bad: str, end: str, names: list[str] | None
) -> None:
    rows = [f"{row}.5,{WEIGHTS[row]}" for row in range(ROWS)]
    rows[20] = bad
    path = tmp_path / "a.csv"
    path.write_bytes(("\n".join(["a,b", *rows]) + "\n").replace("\n", end or "\n").encode()[: None if end else -1])
    with pytest.raises(TableError, match=r"a\.csv: row 21 has a cell that goes on for 40 lines.*quotation mark"):
        list(open_table(path, True).blocks(names))
    with pytest.raises(TableError, match="row 21 has a cell"):
        load_table(path)


@pytest.mark.parametrize(
    "last", ['0.5,"two\nlines"', '0.5,"two\nli""nes"""', '"two\nlines",0.5', '"a\nb",1,2', '7,5" pipe']
)
def test_a_last_row_of_several_lines_is_read(tmp_path: Path, last: str) -> None:
    path = write(tmp_path / "a.csv", "a,b", [*(f"{row}.5,{WEIGHTS[row]}" for row in range(ROWS)), last])
    blocks = list(open_table(path, True).blocks())
    assert sum(len(block.rows) + len(block.faults) for block in blocks) == ROWS + 1


def test_a_long_row_is_read_by_all_and_one_that_is_too_long_is_told(tmp_path: Path) -> None:
    for length, fits in ((900_000, True), (2_500_000, False)):
        rows = [f"{row}.5,{row}.25" for row in range(9_000)] + ["x" * length + ",0.5"]
        table = open_table(write(tmp_path / "a.csv", "a,b", rows))
        if fits:
            assert sum(len(block.rows) for block in table.blocks(rows=256)) == len(rows)
        else:
            with pytest.raises(TableError, match="a row is longer than 1,048,576 bytes"):
                list(table.blocks(rows=256))


@pytest.mark.parametrize("long", ["x" * 200_000, "x" * 5_000])
def test_a_long_text_is_no_category_and_leaves_the_table_readable(tmp_path: Path, long: str) -> None:
    rows = [f"{row}.5,{WEIGHTS[row]},ok" for row in range(ROWS)]
    rows[40] = f"1.5,0.5,{long}"
    table = load_table(write(tmp_path / "a.csv", "a,b,c", rows))
    assert list(kinds(table)) == ["a", "b"]
    assert f"holds a text of {len(long):,} characters, which is no category" in " ".join(table.told())


def test_marks_that_close_each_other_far_below_are_told(tmp_path: Path) -> None:
    rows = [f"{row}.5,{WEIGHTS[row]},ok" for row in range(ROWS)]
    rows[5], rows[50] = '1.5,0.5,"ok', '1.5,0.5,"ok'
    told = " ".join(load_table(write(tmp_path / "a.csv", "a,b,c", rows)).told())
    assert "characters, which is no category in 46 lines; is a quotation mark not closed?" in told
