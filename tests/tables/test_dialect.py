"""How a text is written, from its first bytes."""

from __future__ import annotations

import pytest

from tables.dialect import NUMBER, detect, unique_names


@pytest.mark.parametrize(
    ("cells", "grouping", "plain"),
    [
        (["1.500", "950"], ".", "1500"),
        (["1.500", "1.300.000,5"], ".", "1500"),
        (["1.500", "1.5"], "", "1.500"),
        (["0.125", "950"], "", "0.125"),
        (["31.12.2024", "950"], "", None),
    ],
)
def test_points_beside_decimal_commas_divide_thousands_where_all_can(
    cells: list[str], grouping: str, plain: str | None
) -> None:
    text = "amount;price\n" + "".join(f"{cell};2,5\n" for cell in cells)
    found = detect(text.encode())
    assert (found.decimal, found.grouping) == (",", grouping)
    assert ("points between thousands" in str(found)) == bool(grouping)


@pytest.mark.parametrize("sign", [";", "|", "\t"])
@pytest.mark.parametrize("note", ["ok{} checked", '"ok{} checked"'])
def test_a_sign_in_the_text_of_every_row_separates_nothing(sign: str, note: str) -> None:
    rows = "".join(f"{place * 1.37:.2f},{place % 7},{note.format(sign)}\n" for place in range(40))
    for title in ("", "Measured in May\n"):
        found = detect(f"{title}x,y,note\n{rows}".encode())
        assert found.separator == ","
        assert found.names == ("x", "y", "note")


@pytest.mark.timeout(60)  # it was quadratic, and took minutes
def test_a_long_cell_is_read_once() -> None:
    assert NUMBER.fullmatch("1" * 100_000 + "x") is None


@pytest.mark.timeout(60)  # it was cubic, and took hours
def test_many_names_that_are_the_same_are_told_apart_in_one_pass() -> None:
    assert unique_names(["a", "a", "a (2)", "", "a"]) == ("a", "a (2)", "a (2) (2)", "column 4", "a (3)")
    assert len(set(unique_names(["a"] * 20_000))) == 20_000
