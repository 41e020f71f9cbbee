"""How a text file of a table is written: encoding, separator, decimal sign, and whether it begins with names.

All of it is decided from the first bytes, and can be told in a sentence.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tables.errors import TableError

SAMPLE_BYTES = 2**18
"""Bytes from the beginning of a file by which its dialect is decided."""
_SAMPLE_ROWS = 200
_MOST_TITLES = 20
"""Rows above the names that are passed over at most."""
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""Where several divide all lines evenly, the first of these wins: commas may be decimal signs."""
_GROUPINGS = {",": "commas", ".": "points"}
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "missing", "?", "-", "--", "."))
"""Cells, in lower case and without white space around them, that mean that a value is missing."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
"""No digit can be matched in two ways: a long cell is read once."""
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?,\d+([eE][+-]?\d+)?")
_GROUPED_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_GROUPED_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?")
_YEAR = re.compile(r"(1[6-9]|20|21)\d\d")


@dataclass(frozen=True)
class Dialect:
    """How a text file of a table is written."""

    encoding: str
    separator: str
    decimal: str
    grouping: str
    """The sign between groups of three digits; empty where there is none."""
    has_names: bool
    names: tuple[str, ...]
    first: tuple[str, ...] = ()
    """The cells of the line of names, or of the first row where there is none."""
    skipped: int = 0
    """Lines of text above the first row of values: the names, and what stands above them."""
    titles: int = 0
    """Rows above the names that belong to no column."""

    def __str__(self) -> str:
        first = "the first line holds the names" if self.has_names else "no line of names: columns are numbered from 1"
        if self.titles:
            first = f"line {self.skipped} holds the names" if self.has_names else first
            first += "; what stands above is no part of the table"
        comma = ", decimal commas" if self.decimal == "," else ""
        comma += f", {_GROUPINGS[self.grouping]} between thousands" if self.grouping else ""
        return f"{self.encoding}, separated by {_SEPARATORS[self.separator]}{comma}; {first}"


def is_missing(cell: str) -> bool:
    """Whether a cell's text means that its value is missing."""
    return cell.strip().lower() in MISSING


def is_number(cell: str) -> bool:
    """Whether a cell's text is a number written with a decimal point."""
    return NUMBER.fullmatch(cell.strip()) is not None


def plain_number(cell: str, decimal: str, grouping: str) -> str:
    """A number's text with a decimal point and without signs between groups of digits."""
    if grouping and re.fullmatch(grouped(grouping, decimal), cell.strip()):
        cell = cell.replace(grouping, "")
    return cell.replace(decimal, ".") if decimal != "." else cell


def grouped(grouping: str, decimal: str) -> str:
    """A pattern of numbers whose digits are in groups of three."""
    return rf"[+-]?\d{{1,3}}(\{grouping}\d{{3}})+(\{decimal}\d+)?"


def encoding_of(sample: bytes) -> str:
    """The encoding of a text by its byte order mark, by its zero bytes, or by whether it is valid UTF-8."""
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = sample.count(0)
    if zeros > len(sample) // 4:
        return "utf-16-le" if sample[1::2].count(0) >= sample[::2].count(0) else "utf-16-be"
    if zeros:
        raise TableError("holds zero bytes: it is no text")
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 3:  # a character may be cut off at the end of the sample
            return "cp1252" if not set(sample) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin-1"
    return "utf-8"


def detect(sample: bytes, names: bool | None = None) -> Dialect:
    """The dialect of a text file, from its first bytes. ``names`` says whether the first line holds names, if known.

    Raises TableError for what is no text, and for an empty file.
    """
    encoding = encoding_of(sample)
    text = sample.decode(encoding, errors="ignore" if encoding.startswith("utf") else "strict").lstrip("\ufeff")
    whole = len(sample) < SAMPLE_BYTES
    found = {sign: _records(text, sign, whole) for sign in _SEPARATORS}
    separator = max(_SEPARATORS, key=lambda sign: _evenness(found[sign][0]))
    records, fault = found[separator]
    if fault or not records:
        raise TableError(fault or "is empty")
    rows = [record.cells for record in records]
    decimal, grouping = _decimal(rows, separator)
    plain = [[plain_number(cell, decimal, grouping).strip() for cell in row] for row in rows]
    titles = _titles(plain) if names is None else 0
    rows, plain = rows[titles:], plain[titles:]
    has_names = _begins_with_names(plain) if names is None else names
    first = tuple(map(str.strip, rows[0]))
    skipped = records[titles].last_line if has_names else records[titles - 1].last_line if titles else 0
    return Dialect(
        encoding, separator, decimal, grouping, has_names, _names(_widened(first, rows[1:]), has_names), first, skipped,
        titles,
    )  # fmt: skip


class _Record(NamedTuple):
    """The cells of a row, and the number of the line of text that it ends in."""

    cells: list[str]
    last_line: int


def _records(text: str, separator: str, whole: bool) -> tuple[list[_Record], str]:
    """The first rows of a text, which is ``whole`` or ends anywhere, and a fault where a cell has no end."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    found: list[_Record] = []
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                found.append(_Record(cells, reader.line_num))
            if len(found) > _SAMPLE_ROWS + _MOST_TITLES:
                return found, ""
    except csv.Error as error:  # a cell of more than 128 KiB
        if len(found) > 1:
            return found, ""  # they tell the dialect; whoever reads on tells a mark that is not closed
        start = found[-1].last_line + 1 if found else 1
        return found, f"line {start}: {error}; is a quotation mark not closed?"
    return (found if whole else found[:-1] or found), ""  # the last row may be cut off


def _evenness(records: Sequence[_Record]) -> tuple[float, int]:
    """How evenly a separator divides rows: the share with the commonest number of fields, and how few lead without it.

    The share is to a tenth, and 0 where the number is one field. A sign that every row has by chance, in its text, is
    not in the line of names.
    """
    fields, rows_with = _commonest_width([record.cells for record in records])
    if fields < 2:
        return 0.0, 0
    first = next(place for place, record in enumerate(records) if len(record.cells) == fields)
    return round(rows_with / len(records), 1), -first


def _commonest_width(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The number of fields that most rows have, and how many rows those are."""
    return Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)


def _titles(rows: Sequence[Sequence[str]]) -> int:
    """How many rows stand above the names and belong to no column: a title, a date, remarks.

    Such rows are of one field, or fill at most half of the fields and a row of names in all fields follows.
    """
    width, _ = _commonest_width(rows)
    count = 0
    while count < min(_MOST_TITLES, len(rows) - 1) and _is_title(rows[count], width):
        count += 1
    if all(len(row) == 1 for row in rows[:count]) or _are_names(rows[count], rows[count + 1 :], width):
        return count
    return 0


def _is_title(row: Sequence[str], width: int) -> bool:
    """Whether a row may be a title above columns. A name that only the first column lacks makes no title."""
    return sum(map(bool, row)) * 2 <= width and not all(row[1:]) if len(row) > 1 else width > 1


def _are_names(row: Sequence[str], body: Sequence[Sequence[str]], width: int) -> bool:
    """Whether a row below titles surely holds names: all fields have one, but for the first and the last."""
    inner = row[1:-1] if width > 2 else row
    return len(row) >= width - 1 and all(inner) and len(body) > 0 and _begins_with_names([row, *body])


def _widened(first: tuple[str, ...], body: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The first row with one field more where all others have one more.

    It lacks the first where rows have a name, as R writes them, and the last where every row ends in a separator.
    """
    if not body or any(len(row) != len(first) + 1 for row in body):
        return first
    return (*first, "") if not any(row[-1].strip() for row in body) else ("", *first)


def _decimal(rows: Sequence[Sequence[str]], separator: str) -> tuple[str, str]:
    """The decimal sign and the sign between groups of digits, as most cells with either have them."""
    cells = [cell.strip() for row in rows for cell in row if "," in cell]
    if not cells:
        return ".", ""
    commas = sum(_DECIMAL_COMMA.fullmatch(cell) is not None for cell in cells)
    groups = sum(map(_is_grouped, cells))
    points = sum("." in cell and is_number(cell) for row in rows for cell in row)
    surely_groups = any(cell.count(",") > 1 or "." in cell.partition(",")[2] for cell in cells if _is_grouped(cell))
    if surely_groups or (separator == "," and groups >= commas) or points > commas:
        return ".", "," if groups else ""
    if not commas:
        return ".", ""
    with_points = [cell.strip() for row in rows for cell in row if "." in cell]
    numbers = [cell for cell in with_points if is_number(cell) or _DECIMAL_COMMA.fullmatch(cell)]
    return ",", "." if numbers and all(map(_GROUPED_POINT.fullmatch, numbers)) else ""


def _is_grouped(cell: str) -> bool:
    return _GROUPED_COMMA.fullmatch(cell) is not None


def _begins_with_names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds names rather than values."""
    first, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    if not body:
        return not all(is_number(cell) or is_missing(cell) for cell in first)
    if not all(is_number(cell) or is_missing(cell) for cell in first):
        for place, cell in enumerate(first):
            below = [row[place] for row in body if not is_missing(row[place])]
            if cell and not is_number(cell) and below and all(map(is_number, below)):
                return True
        if any(is_number(cell) for cell in first):
            return _are_years([cell for cell in first if is_number(cell)], body)
        # Words over words: names are not repeated below, and are all different.
        repeated = sum(cell in {row[place] for row in body} for place, cell in enumerate(first))
        return len(set(first)) == len(first) and repeated * 2 <= len(first) and "" not in first[1:]
    return len([cell for cell in first if _YEAR.fullmatch(cell)]) >= len(first) - 1 and _are_years(
        [cell for cell in first if _YEAR.fullmatch(cell)], body
    )


def _are_years(cells: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether numbers in the first row are names: years in order, above values that are no years."""
    if len(cells) < 2 or not all(map(_YEAR.fullmatch, cells)) or sorted(set(cells)) != list(cells):
        return False
    below = [cell for row in body for cell in row if not is_missing(cell)]
    return sum(_YEAR.fullmatch(cell) is not None for cell in below) * 4 < len(below)


def _names(first: Sequence[str], has_names: bool) -> tuple[str, ...]:
    """Names of all columns: numbers from 1 where the file has none."""
    return unique_names(first) if has_names else tuple(str(place) for place in range(1, len(first) + 1))


def unique_names(given: Sequence[str]) -> tuple[str, ...]:
    """Names made different where two are the same, with one for a column that has none."""
    found: dict[str, None] = {}
    counts: Counter[str] = Counter()
    for place, cell in enumerate(given, start=1):
        name = wanted = cell if cell.strip() else f"column {place}"
        while name in found:
            counts[wanted] += 1
            name = f"{wanted} ({counts[wanted] + 1})"
        found[name] = None
    return tuple(found)
