"""The user's own data: valid data are read exactly, and errors name file, column and row."""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.data import OwnData, load, split
from trainer.errors import DataError

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (20, 5, 4, 3), np.uint8)
ROWS = RANDOM.standard_normal((40, 3)) * [1e-3, 1.0, 1e4] + [0.0, 1.0, 1e5]


def _all(path: Path) -> torch.Tensor:
    """Every item, of both splits, in the order of their first numbers."""
    items = torch.cat(OwnData(path).read(None))
    return items[items.flatten(1)[:, 0].argsort()]


def _error(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        OwnData(path).read(None)
    assert path.name in str(caught.value)
    return str(caught.value)


def _write_csv(path: Path, rows: object = ROWS, names: str = "length,width,income\n", separator: str = ",") -> Path:
    lines = [separator.join(str(value) for value in row) for row in rows]  # type: ignore[attr-defined]
    path.write_text(names.replace(",", separator) + "\n".join(lines) + "\n")
    return path


def _write_pictures(folder: Path, pictures: np.ndarray = PICTURES) -> Path:
    (folder / "deeper").mkdir(parents=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / ("deeper" if number % 2 else "") / f"{number:03}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_fixed_tenth_is_the_test_set(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    train, test = OwnData(tmp_path / "rows.npy").read(None)
    again, _ = OwnData(tmp_path / "rows.npy").read(None)
    assert (len(train), len(test)) == (36, 4)
    assert train.equal(again)
    assert not {tuple(row.tolist()) for row in train} & {tuple(row.tolist()) for row in test}


# Folders.


def test_hidden_files_of_a_folder_are_no_pictures(tmp_path: Path) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    (folder / "._000.png").write_bytes(b"\0\5\x16\7")
    assert len(_all(folder)) == len(PICTURES)


def test_a_folder_of_colour_pictures_is_read_with_its_subfolders(tmp_path: Path) -> None:
    train, test = OwnData(_write_pictures(tmp_path / "My Pictures")).read(None)
    assert {item.numpy().tobytes() for item in torch.cat([train, test])} == {p.tobytes() for p in PICTURES}
    assert (train.shape, test.shape) == ((18, 5, 4, 3), (2, 5, 4, 3))
    assert OwnData(tmp_path / "My Pictures").name == "my-pictures"


def test_grey_pictures_have_no_channels_unless_one_picture_is_in_colour(tmp_path: Path) -> None:
    grey = _write_pictures(tmp_path / "grey", PICTURES[..., 0])
    assert OwnData(grey).read(None)[0].shape == (18, 5, 4)
    Image.fromarray(PICTURES[0]).save(grey / "colour.jpg")
    assert OwnData(grey).read(None)[0].shape == (19, 5, 4, 3)


def test_an_opaque_alpha_channel_is_dropped_and_a_transparent_one_refused(tmp_path: Path) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    Image.fromarray(PICTURES[0]).convert("RGBA").save(folder / "opaque.png")
    assert OwnData(folder).read(None)[0].shape == (19, 5, 4, 3)
    Image.new("RGBA", (4, 5), (1, 2, 3, 128)).save(folder / "glass.png")
    with pytest.raises(DataError, match=r"glass\.png: is transparent"):
        OwnData(folder).read(None)


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    Image.new("RGB", (6, 5)).save(folder / "wide.png")
    with pytest.raises(DataError, match=r"wide\.png: is 6x5 where 000\.png is 4x5"):
        OwnData(folder).read(None)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_a_damaged_picture_is_named(tmp_path: Path, content: bytes) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    (folder / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: not a readable picture"):
        OwnData(folder).read(None)


def test_a_picture_of_sixteen_bits_is_named(tmp_path: Path) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    Image.fromarray(np.full((5, 4), 40000, np.uint16)).save(folder / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: its mode I;16 is not one with 8 bits"):
        OwnData(folder).read(None)


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    assert "holds no pictures" in _error(tmp_path)


# Arrays.


@pytest.mark.parametrize("shape", [(30, 4, 5), (30, 4, 5, 1), (30, 4, 5, 3)])
def test_arrays_of_integers_are_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = RANDOM.integers(0, 256, shape)
    np.save(tmp_path / "a.npy", pixels)
    train, test = OwnData(tmp_path / "a.npy").read(None)
    assert train.dtype == torch.uint8
    assert train.shape[1:] == (shape[1:3] if shape[-1] == 1 else shape[1:])
    assert int(train.long().sum() + test.long().sum()) == pixels.sum()


def test_an_npz_may_hold_its_own_test_set(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=ROWS[:30], test=ROWS[30:])
    train, test = OwnData(tmp_path / "a.npz").read(None)
    assert train.equal(torch.from_numpy(ROWS[:30].astype(np.float32)))
    assert test.equal(torch.from_numpy(ROWS[30:].astype(np.float32)))


def test_an_npz_of_one_array_is_divided(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", whatever=ROWS)
    assert len(_all(tmp_path / "a.npz")) == 40


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (RANDOM.random((5, 4, 4)), "images must be integers from 0 to 255, not float64"),
        (np.full((5, 4, 4), 256), "run from 256 to 256"),
        (np.full((5, 4, 4), -1), "run from -1 to -1"),
        (np.zeros((5, 4, 4, 2), np.uint8), "neither"),
        (np.zeros(5), "neither"),
        (np.array([["a", "b"]]), "not numbers"),
        (np.array([[{}, {}]]), "not a readable array"),
    ],
)
def test_arrays_that_are_neither_images_nor_vectors_are_refused(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    np.save(tmp_path / "a.npy", array)
    assert reason in _error(tmp_path / "a.npy")


def test_an_npz_of_several_arrays_is_refused_with_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=ROWS, y=ROWS)
    assert "holds x, y; one array is wanted" in _error(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", train=ROWS, test=ROWS[:, :2])
    assert "train is (40, 3)" in _error(tmp_path / "a.npz")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_array_are_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("own") / "noise.npy"
    path.write_bytes(content)
    _error(path)


# Tables.


def _numbers(path: Path) -> np.ndarray:
    """The numbers of a table, in the file's units, sorted by the first column."""
    own = OwnData(path)
    assert own.schema is not None
    numbers = own.schema.numbers(torch.cat(own.read(None)).numpy())
    return numbers[numbers[:, 0].argsort()]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("names", ["length,width,income\n", "", "\ufefflength,width,income\n"])
def test_a_csv_comes_back(tmp_path: Path, names: str, separator: str) -> None:
    path = _write_csv(tmp_path / "Table 1.csv", names=names, separator=separator)
    assert np.allclose(_numbers(path), ROWS[ROWS[:, 0].argsort()], rtol=1e-6)
    schema = OwnData(path).schema
    assert schema is not None
    assert schema.names == (("length", "width", "income") if names else ("1", "2", "3"))
    assert OwnData(path).name == "table-1"


def test_a_parquet_file_comes_back_with_its_columns(tmp_path: Path) -> None:
    table = pyarrow.table({"a": ROWS[:, 0], "b": ROWS[:, 1].astype(np.float32), "n": np.arange(40) % 7})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    expected = np.stack([ROWS[:, 0], ROWS[:, 1], np.arange(40) % 7], axis=1)
    assert np.allclose(_numbers(tmp_path / "t.parquet"), expected[ROWS[:, 0].argsort()], rtol=1e-6)


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=3, max_size=20))
def test_any_table_is_read_or_refused_for_columns_that_hardly_vary(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]
) -> None:
    path = _write_csv(tmp_path_factory.mktemp("own") / "t.csv", rows)
    try:
        found = OwnData(path).read(None)
    except DataError as error:
        assert "usable columns" in str(error)  # noqa: PT017 (either is right)
        return
    schema = OwnData(path).schema
    assert schema is not None
    numbers = schema.numbers(torch.cat(found).numpy())
    for place, name in enumerate(schema.names):
        expected = np.array(rows)[:, ["length", "width", "income"].index(name)]
        spread = np.ptp(expected)
        assert np.allclose(np.sort(numbers[:, place]), np.sort(expected), rtol=1e-6, atol=1e-6 * spread)


def test_missing_cells_are_nan(tmp_path: Path) -> None:
    rows: list[list[object]] = ROWS.tolist()
    rows[6][1], rows[8][0], rows[9][2] = "", "NA", "inf"
    items = torch.cat(OwnData(_write_csv(tmp_path / "t.csv", rows)).read(None))
    assert items.isnan().sum(dim=0).tolist() == [1, 1, 1]


def test_rows_that_are_nearly_the_same_stay_on_one_side(tmp_path: Path) -> None:
    distinct = RANDOM.normal(size=(200, 3))
    rows = np.repeat(distinct, 10, axis=0) + 1e-5 * RANDOM.normal(size=(2000, 3))
    path = _write_csv(tmp_path / "t.csv", RANDOM.permutation(rows))
    train, test = OwnData(path).read(None)
    splits = load(OwnData(path), None, seed=0)
    sides = [{tuple(row) for row in (part / 0.01).round().tolist()} for part in (splits.train, splits.validation, test)]
    assert len(train) + len(test) == 2000
    assert 150 < len(splits.validation) < 250
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_rows_that_are_all_the_same_are_refused(value: float) -> None:
    items = torch.tensor([1.0, value, 2.0]).repeat(50, 1)
    with pytest.raises(DataError, match="all the same"):
        split("same", items, items, seed=0)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npz"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    _error(tmp_path / name)


def test_a_table_of_one_column_is_refused(tmp_path: Path) -> None:
    assert "has one column; a flow needs two or more; fields must be divided by" in _error(
        _write_csv(tmp_path / "t.csv", ROWS[:, :1], "length\n")
    )


def test_other_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").write_bytes(b"PK")
    assert "unknown kind of data" in _error(tmp_path / "data.xlsx")
    assert "missing" in _error(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="--data PATH"):
        OwnData().read(None)


def test_items_of_which_one_would_test_are_too_few(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS[:14])
    with pytest.raises(
        DataError, match="13 training and 1 test items are too few to split; there must be 2 test items"
    ):
        load(OwnData(tmp_path / "rows.npy"), None, seed=0)
    np.save(tmp_path / "rows.npy", ROWS[:15])
    assert len(load(OwnData(tmp_path / "rows.npy"), None, seed=0).test) == 2


@pytest.mark.parametrize("shape", [(3_000_000_000_000, 2), (50, 0, 4)])
def test_an_array_whose_shape_cannot_be_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert "not a readable array" in (said := _error(tmp_path / "a.npy")) or "holds no pixels" in said
