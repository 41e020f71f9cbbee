"""One column of a table as its blocks come: numbers, or words that tell later what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tables import kinds
from tables.cells import Numbers, floats, is_numeric, numbers_of_texts, quick_numbers, seconds_of, texts_of
from tables.dialect import Dialect
from tables.growing import GrowingNumbers
from tables.kinds import Found, LeftOut
from tables.schema import CATEGORY, CONTINUOUS, INTEGER, LONGEST_NAME, TIME, Kind
from tables.times import times_of


class Gathered:
    """What blocks have told of one column so far: numbers, or the words that they are written as."""

    def __init__(self, kind: Kind | None, dialect: Dialect | None) -> None:
        self.kind, self.dialect = kind, dialect
        self.numbers = GrowingNumbers()
        self.stray: Counter[str] = Counter()
        self.is_time = False
        self.needs_words = kind in (CATEGORY, TIME)
        self.words: list[Any] = []
        self.quick = dialect is None or dialect.decimal == "."
        """Whether all text so far was plain numbers, with a decimal point, and empty cells."""
        self.unfit = ""
        """Why the cells are not of the kind that was asked for."""

    def add(self, cells: Any) -> None:
        from pyarrow import types

        if self.kind == CATEGORY:
            return  # words are read as they are written, so that those of a file to score are the same
        if types.is_timestamp(cells.type) or types.is_date(cells.type):
            self.is_time, self.needs_words = True, False
            if self.kind in (CONTINUOUS, INTEGER):
                self.unfit = "holds points in time, which are no numbers; --kind NAME=time takes them"
            self.numbers.add(seconds_of(cells))
        elif is_numeric(cells.type):
            self.needs_words = self.kind == TIME
            if not self.needs_words:
                self.numbers.add(floats(cells))
        elif not self.needs_words:
            quick = quick_numbers(cells) if self.quick else None
            if quick is not None:
                self.numbers.add(quick)
                return
            self.quick = False
            texts = texts_of(cells)
            numbers, words = numbers_of_texts(texts, self.dialect)
            self.numbers.add(numbers)
            if words.any():
                self.stray.update(texts.filter(_mask(words)).to_pylist())
            if not kinds.strays(self.stray, self.numbers.present()) and self.kind not in (CONTINUOUS, INTEGER):
                self.needs_words, self.numbers = True, GrowingNumbers()

    def found(self, name: str, rows: int) -> Found | LeftOut:
        if len(name) > LONGEST_NAME:
            return LeftOut(name, f"has a name of {len(name):,} characters; at most {LONGEST_NAME} are taken")
        if self.unfit:
            return LeftOut(name, self.unfit)
        if self.is_time or not self.needs_words:
            numbers = self.numbers.taken()
            return (
                kinds.time(name, numbers, "") if self.is_time else kinds.numeric(name, numbers, self.kind, self.stray)
            )
        return self._of_words(name, rows)

    def _of_words(self, name: str, rows: int) -> Found | LeftOut:
        import pyarrow

        column = pyarrow.chunked_array(self.words, pyarrow.string())
        self.words = []
        encoded = column.combine_chunks().dictionary_encode()
        words: list[str] = encoded.dictionary.to_pylist()
        if not words:
            return LeftOut(name, "every cell is missing")
        if self.kind is None and (mixed := self._nearly_all_numbers(encoded)):
            return kinds.numeric(name, mixed.values, None, mixed.stray)
        many = len(words) > kinds.most_categories(rows)
        if self.kind != CATEGORY:
            times = times_of(words, self.kind == TIME, many)
            if times is not None:
                return kinds.time(name, _numbers_of_words(encoded, times.seconds), times.format, times.notes)
            if self.kind == TIME:
                return LeftOut(name, _no_times(words))
        if self.kind == CATEGORY and len(words) > kinds.MOST_CATEGORIES:
            told = f"has {len(words):,} different values; a category has at most {kinds.MOST_CATEGORIES}"
            return LeftOut(name, told)
        if len(words) > kinds.MOST_CATEGORIES or (many and self.kind != CATEGORY):
            return kinds.left_out_words(name, words, rows)
        longest = max(words, key=len)
        if len(longest) > LONGEST_NAME:
            lines = longest.count("\n") + 1
            doubt = f" in {lines:,} lines; is a quotation mark not closed?" if lines > 1 else ""
            return LeftOut(name, f"holds a text of {len(longest):,} characters, which is no category{doubt}")
        order = sorted(range(len(words)), key=lambda place: _sort_key(words[place]))
        codes = np.empty(len(words))
        codes[order] = np.arange(len(words))
        numbers = _numbers_of_words(encoded, codes.tolist())
        return kinds.category(name, numbers, tuple(words[place] for place in order))

    def _nearly_all_numbers(self, encoded: Any) -> _Mixed | None:
        """A column of words that is one of numbers after all: those that are none were many at first alone."""
        values, strange = numbers_of_texts(encoded.dictionary, self.dialect)
        counts = np.bincount(encoded.indices.drop_null().to_numpy(zero_copy_only=False), minlength=len(values))
        stray = {encoded.dictionary[at].as_py(): int(counts[at]) for at in np.flatnonzero(strange).tolist()}
        if not kinds.strays(stray, int(counts[~strange].sum())):
            return None
        return _Mixed(_numbers_of_words(encoded, values.tolist()), stray)


class _Mixed(NamedTuple):
    """Numbers (N,), and the words among them that are none, with how often each occurs."""

    values: Numbers
    stray: dict[str, int]


def _no_times(words: Sequence[str]) -> str:
    """Why words are no times, with one that does not go with the first."""
    first = next((word for word in words if times_of([word], True, True) is None), None)
    if first is not None:
        return f"holds {first[:40]!r}, which is no time that is understood; write times such as 2024-12-31 23:59"
    return f"holds times of several formats, such as {words[0]!r} and {words[-1]!r}"


def _numbers_of_words(encoded: Any, numbers: Sequence[float | None]) -> Numbers:
    """The numbers (N,) of a column of words, a dictionary array, from that of each word; NaN where there is none."""
    table = np.array([*numbers, None], dtype=np.float64)
    found: Numbers = table[encoded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)]
    return found


def _sort_key(word: str) -> tuple[int, float, str]:
    """Numbers in their order, then words in theirs."""
    try:
        return (0, float(word), word)
    except ValueError:
        return (1, 0.0, word.lower())


def _mask(flags: npt.NDArray[np.bool_]) -> Any:
    import pyarrow

    return pyarrow.array(flags)
