"""How a text file of a table is written: encoding, separator, decimal sign, and whether it begins with names.

All of it is decided from the first bytes, and can be told in a sentence.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tables.errors import TableError

SAMPLE_BYTES = 2**18
"""Bytes from the beginning of a file by which its dialect is decided."""
_SAMPLE_ROWS = 200
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""Where several divide all lines evenly, the first of these wins: commas may be decimal signs."""
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "missing", "?", "-", "--", "."))
"""Cells, in lower case and without white space around them, that mean that a value is missing."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?,\d+([eE][+-]?\d+)?")
_GROUPED_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
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
    """The cells of the first line."""

    def __str__(self) -> str:
        first = "the first line holds the names" if self.has_names else "no line of names: columns are numbered from 1"
        comma = ", decimal commas" if self.decimal == "," else ""
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
    lines = text.splitlines()
    if len(sample) >= SAMPLE_BYTES:  # the last line may be cut off
        lines = lines[:-1] or lines
    lines = [line for line in lines if line.strip()][: _SAMPLE_ROWS + 1]
    if not lines:
        raise TableError("is empty")
    separator = max(_SEPARATORS, key=lambda sign: _agreement(lines, sign))
    rows = list(csv.reader(lines, delimiter=separator))
    decimal, grouping = _decimal(rows, separator)
    plain = [[plain_number(cell, decimal, grouping).strip() for cell in row] for row in rows]
    has_names = _begins_with_names(plain) if names is None else names
    return Dialect(
        encoding, separator, decimal, grouping, has_names, _names(rows[0], has_names), tuple(map(str.strip, rows[0]))
    )


def _agreement(lines: Sequence[str], separator: str) -> float:
    """The share of lines that have the commonest number of fields, to a tenth; 0 where that is one field."""
    counts = Counter(len(row) for row in csv.reader(lines, delimiter=separator))
    fields, lines_with = counts.most_common(1)[0]
    return 0.0 if fields < 2 else round(lines_with / sum(counts.values()), 1)


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
    return ",", "." if any(re.search(r"\.\d{3},", cell) for cell in cells) else ""


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
            return False
        # Words over words: names are not repeated below, and are all different.
        repeated = sum(cell in {row[place] for row in body} for place, cell in enumerate(first))
        return len(set(first)) == len(first) and repeated * 2 <= len(first) and "" not in first[1:]
    # Numbers over numbers: years are names where they are in order and the values below are no years.
    years = [int(cell) for cell in first if _YEAR.fullmatch(cell)]
    if len(years) < 2 or len(years) < len(first) - 1 or sorted(set(years)) != years:
        return False
    below = [cell for row in body for cell in row if not is_missing(cell)]
    return sum(_YEAR.fullmatch(cell) is not None for cell in below) * 4 < len(below)


def _names(first: Sequence[str], has_names: bool) -> tuple[str, ...]:
    """Names of all columns, made different where two are the same; numbers from 1 where the file has no names."""
    if not has_names:
        return tuple(str(place) for place in range(1, len(first) + 1))
    found: list[str] = []
    for place, cell in enumerate(first, start=1):
        name = wanted = cell.strip() or f"column {place}"
        count = 1
        while name in found:
            count += 1
            name = f"{wanted} ({count})"
        found.append(name)
    return tuple(found)
