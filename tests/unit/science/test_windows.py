"""Windows: half-open, in UTC, and cut without gap or overlap."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.windows import DAY, HOUR, Window, midnight
from tests.factories import utc

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
windows = st.builds(
    lambda start, length: Window(start, start + length),
    instants,
    st.timedeltas(timedelta(), timedelta(days=400)),
)
# Not tiny, so that a window of a year does not make millions of pieces.
lengths = st.timedeltas(HOUR, timedelta(days=500))


@given(windows, lengths)
def test_chunks_cover_the_window_without_gap_or_overlap(window: Window, length: timedelta) -> None:
    chunks = list(window.chunks(length))
    edges = [window.start, *(chunk.end for chunk in chunks)]
    assert [chunk.start for chunk in chunks] == edges[:-1]
    assert edges[-1] == window.end
    assert all(chunk.end - chunk.start == length for chunk in chunks[:-1])
    assert all(timedelta() < chunk.end - chunk.start <= length for chunk in chunks)


@given(windows)
def test_dates_are_those_that_hold_an_instant_of_the_window(window: Window) -> None:
    dates = window.dates
    assert dates == sorted(set(dates))
    around = [window.start.date() + n * DAY for n in range(-1, len(dates) + 2)]
    assert dates == [day for day in around if window.overlaps(Window.of_days(day, day))]


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 1000))
def test_window_of_days_has_exactly_these_dates(first: date, more: int) -> None:
    last = first + timedelta(days=more)
    window = Window.of_days(first, last)
    assert (window.dates[0], window.dates[-1], len(window.dates)) == (first, last, more + 1)
    assert window.end - window.start == (more + 1) * DAY


def test_the_end_is_not_part_of_the_window() -> None:
    day = Window.of_days(date(2024, 3, 1), date(2024, 3, 1))
    assert day.end == utc(2024, 3, 2)
    assert day.dates == [date(2024, 3, 1)]
    assert not day.overlaps(Window(day.end, day.end + HOUR))
    assert Window(day.start, day.start).dates == []


@given(windows, windows)
def test_overlap_means_to_share_an_instant(one: Window, other: Window) -> None:
    assert one.overlaps(other) == other.overlaps(one)
    assert one.overlaps(other) == (max(one.start, other.start) < min(one.end, other.end))
    assert one.overlaps(one) == (one.start < one.end)


def test_padding_moves_each_side_by_its_own() -> None:
    window = Window(utc(2024, 3, 1), utc(2024, 3, 2)).padded(before=HOUR, after=2 * HOUR)
    assert window == Window(utc(2024, 2, 29, 23), utc(2024, 3, 2, 2))


def test_midnight_is_in_utc() -> None:
    assert midnight(date(2024, 3, 1)) == utc(2024, 3, 1)


def test_backwards_window_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot end"):
        Window(utc(2024, 3, 2), utc(2024, 3, 1))


@pytest.mark.parametrize("naive", ["start", "end"])
def test_window_without_a_zone_is_refused(naive: str) -> None:
    times = {"start": utc(2024, 3, 1), "end": utc(2024, 3, 2)}
    times[naive] = times[naive].replace(tzinfo=None)
    with pytest.raises(ValueError, match="zone"):
        Window(**times)
