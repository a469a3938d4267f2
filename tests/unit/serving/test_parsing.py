"""Instants, days, ranges and boxes, and what is said of wrong ones."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_serving.parsing import Box, check_range, parse_box, parse_day, parse_instant
from aq_serving.problems import ProblemError
from tests.factories import DAY, utc


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T05:00:00Z", "2026-01-31T06:00:00+01:00", "20260131T050000Z", "2026-01-31T05Z"],
)
def test_an_instant_is_the_same_in_any_offset(text: str) -> None:
    assert parse_instant(text, "start") == utc(2026, 1, 31, 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-01-31T05:00:00", "needs an offset"),
        ("2026-01-31", "needs an offset"),
        ("2026-01-31T05:00:00 01:00", "%2B"),
        ("yesterday", "no ISO 8601 time"),
        ("2026-13-31T05:00:00Z", "no ISO 8601 time"),
        ("0001-01-01T00:00:00+14:00", "outside the years"),
        ("9999-12-31T23:00:00-14:00", "outside the years"),
        ("'; DROP TABLE x; --", "no ISO 8601 time"),
        ("", "no ISO 8601 time"),
    ],
)
def test_a_wrong_instant_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said) as caught:
        parse_instant(text, "start")
    assert (caught.value.status, caught.value.parameter) == (400, "start")


@given(
    st.datetimes(datetime(1901, 1, 1), datetime(2199, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_what_was_written_comes_back(naive: datetime, minutes: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = parse_instant(instant.isoformat(), "start")
    assert found == instant
    assert found.tzinfo is UTC


@given(st.text(max_size=50))
def test_any_text_is_an_instant_or_a_problem(text: str) -> None:
    for parse in (parse_instant, parse_day):
        with contextlib.suppress(ProblemError):
            assert parse(text, "start") is not None


def test_a_day_has_no_time() -> None:
    assert parse_day("2026-01-31", "start") == date(2026, 1, 31)
    with pytest.raises(ProblemError, match="YYYY-MM-DD"):
        parse_day("2026-01-31T00:00:00Z", "start")


def test_a_range_is_neither_empty_nor_endless() -> None:
    start = utc(2026)
    assert check_range(start, start + 31 * DAY, 31) == (start, start + 31 * DAY)
    with pytest.raises(ProblemError, match="after start"):
        check_range(start, start, 31)
    with pytest.raises(ProblemError, match=r"32 days, and 31 are allowed"):
        check_range(start, start + 31 * DAY + timedelta(seconds=1), 31)


def test_a_box_is_west_south_east_north() -> None:
    assert parse_box("170,-10,-170,10.5") == Box(170, -10, -170, 10.5)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,1,1", "-181,0,1,1", "0,2,1,1", "0,0,1,inf"]
)
def test_a_wrong_box_is_refused(text: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_box(text)
    assert caught.value.parameter == "bbox"
