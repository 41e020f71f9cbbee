"""Points in time as they are commonly written, and which words are none."""

from __future__ import annotations

import pytest

from tables.times import seconds_of_text, text_of_seconds, times_of

DAY = 86_400.0


@pytest.mark.parametrize(
    ("words", "form", "seconds"),
    [
        (["1970-01-02", "1970-01-03"], "%Y-%m-%d", DAY),
        (["02.01.70", "31.12.23"], "%d.%m.%y", DAY),
        (["01/02/70", "12/31/23"], "%m/%d/%y", DAY),
        (["01/02/1970 03:30 PM", "12/31/2023 01:00 AM"], "%m/%d/%Y %I:%M %p", DAY + 15.5 * 3600),
        (["2-Jan-1970", "31-Dec-2023"], "%d-%b-%Y", DAY),
        (["Jan 2, 1970", "Dec 31, 2023"], "%b %d, %Y", DAY),
        (["06:15", "22:00"], "%H:%M", 6.25 * 3600),
        (["19700102", "20231231"], "%Y%m%d", DAY),
        (["1970-01-02T00:00:00.5+00:00", "2023-12-31T01:00:00+01:00"], "", DAY + 0.5),
    ],
)
def test_a_format_is_found(words: list[str], form: str, seconds: float) -> None:
    times = times_of(words, wished=False, many=True)
    assert times is not None
    assert times.format == form
    assert times.seconds[0] == seconds
    assert times.notes == ()


@pytest.mark.parametrize(
    "words", [["soon", "later"], ["1.2.03", "1.2.04"], ["16:9", "4:3"], ["16:09", "4:03"], ["a1", "b2"], []]
)
def test_few_words_that_may_be_something_else_are_no_times(words: list[str]) -> None:
    assert times_of(words, wished=False, many=False) is None


def test_a_word_among_times_is_missing_and_told() -> None:
    times = times_of([*(f"2024-01-{day:02}" for day in range(1, 20)), "unknown"], wished=False, many=True)
    assert times is not None
    assert times.seconds[-1] is None
    assert times.notes == ("cells that are no times ('unknown') count as missing",)


def test_dates_whose_day_may_be_the_month_are_told() -> None:
    times = times_of(["01/02/2024", "03/04/2024"], wished=False, many=True)
    assert times is not None
    assert times.seconds[0] == seconds_of_text("2024-02-01", "")
    assert "read like 31/12/2024; days and months may be swapped" in times.notes[0]


def test_a_time_of_day_is_written_as_it_was_read() -> None:
    assert text_of_seconds(seconds_of_text("23:59", "%H:%M"), "%H:%M", days=False) == "23:59"
    assert text_of_seconds(DAY, "%d.%m.%y", days=True) == "1970-01-02"
