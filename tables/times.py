"""Points in time as text: the formats that are understood, and which of them a column is written in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FORMATS = (
    "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y-%m", "%Y%m%d", "%Y%m%dT%H%M%S",
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p",
    "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%b-%d-%Y", "%b %Y", "%b-%Y", "%B %Y",
)  # fmt: skip
CLOCK_FORMATS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
"""Formats of a time of day."""
_LESS_SURE = (
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%d-%b-%y", "%d.%m.%y %H:%M", "%d/%m/%y %H:%M", "%m/%d/%y %H:%M",
    *CLOCK_FORMATS,
)  # fmt: skip
"""Formats of words that may as well be something else, such as versions and ratios."""
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?( [AaPp][Mm])?")
_LOOKED_AT = 2_000
"""Different words that decide which formats are tried."""
_TOLERATED, _ENOUGH = 0.02, 10
"""Share of different words that may be no times, and words of which at least one may be: its cells count as missing."""


class Times(NamedTuple):
    """A column's words as times: the format, the seconds since 1970 of each word, and what people should know."""

    format: str
    """As ``strptime`` understands it; empty for ISO 8601."""
    seconds: list[float | None]
    """None of a word that is no time."""
    notes: tuple[str, ...] = ()


def seconds_of_text(text: str, written: str) -> float:
    """Seconds since 1970, UTC, of a time in the format ``written``, or in ISO 8601 where that is empty.

    A time of day counts from midnight. Raises ValueError.
    """
    moment = datetime.strptime(text, written) if written else datetime.fromisoformat(text)
    if is_clock(written):
        moment = moment.replace(year=EPOCH.year)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH).total_seconds()


def text_of_seconds(seconds: float, written: str, days: bool) -> str:
    """A time in ISO 8601, to a microsecond: a date where ``days``, a time of day as ``written`` where that is one.

    Raises OverflowError where the calendar ends.
    """
    moment = EPOCH + timedelta(seconds=round(seconds) if days or is_clock(written) else round(seconds, 6))
    if is_clock(written):
        return moment.strftime(written)
    return moment.date().isoformat() if days else moment.replace(tzinfo=None).isoformat()


def is_clock(written: str) -> bool:
    """Whether a format is that of a time of day, without a date."""
    return written in CLOCK_FORMATS


def times_of(words: Sequence[str], wished: bool, many: bool) -> Times | None:
    """Different words as times; None where they are none.

    The first format wins that reads all words, or, if there is none, that reads nearly all. Formats that are less sure
    are tried where the words are too many for a category, or where it is ``wished`` that they are times.
    """
    sample = words[:_LOOKED_AT]
    most = _tolerated(len(sample))
    if not sample or sum(not any(map(str.isdigit, word)) for word in sample) > most:
        return None
    best, faults = "", len(sample) + 1
    for form in (*_FORMATS, "", *(_LESS_SURE if many or wished else ())):
        bad = _faults(sample, form, most=min(faults - 1, most))
        if bad is not None:
            best, faults = form, bad
        if faults == 0:
            break
    if faults > len(sample):
        return None
    seconds = [_seconds(word, best) for word in words]
    notes = []
    strange = [word for word, each in zip(words, seconds, strict=True) if each is None]
    if len(strange) > _tolerated(len(words)):
        return None
    if strange:
        shown = ", ".join(repr(word[:20]) for word in strange[:3])
        notes.append(f"cells that are no times ({shown}) count as missing")
    other = _months_and_days_swapped(best)
    if other and _faults(sample, other, most=faults) is not None:
        shown = datetime(2024, 12, 31).strftime(best)
        notes.append(f"read like {shown}; days and months may be swapped: dates such as 2024-12-31 are clear")
    return Times(best, seconds, tuple(notes))


def _tolerated(words: int) -> int:
    """How many of so many words may be no times."""
    return max(int(_TOLERATED * words), int(words >= _ENOUGH))


def _months_and_days_swapped(form: str) -> str:
    """The same format with month and day swapped where both orders are common; empty otherwise."""
    if form.startswith("%d/%m/"):
        return "%m/%d/" + form.removeprefix("%d/%m/")
    return ""


def _faults(words: Sequence[str], form: str, most: int) -> int | None:
    """How many words are no times in this format; None where they are more than ``most``."""
    found = 0
    for word in words:
        if _seconds(word, form) is None:
            found += 1
            if found > most:
                return None
    return found


def _seconds(word: str, form: str) -> float | None:
    if is_clock(form) and not _CLOCK.fullmatch(word):
        return None
    with suppress(ValueError):
        return seconds_of_text(word, form)
    return None
