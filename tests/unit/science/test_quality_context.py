"""A day's flags follow from the pulls of the day and its context alone, however they are made."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.quality.core import QualityTest, Suite
from aq_science.quality.findings import findings, flag_readings
from aq_science.quality.suite import STANDARD
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, versions
from tests.laws import examples
from tests.unit.science.made_up_spike import SPIKE

# A new test takes its module and this line.
SUITE = Suite((*STANDARD.tests, SPIKE))

FIRST = MIDNIGHT.date()
DATES = [FIRST + n * DAY for n in range(3)]
Pull = tuple[date, list[dict[str, Any]]]


def whole_day(day: date) -> Window:
    return Window.of_days(day, day)


def flagged(pulls: Iterable[Pull], window: Window, suite: Suite = SUITE) -> pl.DataFrame:
    """Readings of the window, of all that was pulled."""
    seen = suite.with_context(window)
    given_rows = [row for _, rows in pulls for row in rows]
    inside = [row for row in given_rows if seen.start <= row["hour"] < seen.end]
    return hourly_readings(fold_versions(versions(*inside)), "n", suite=suite, within=window)


def run(
    files: dict[date, pl.DataFrame], pulls: list[Pull], window: Window, length: timedelta = DAY
) -> None:
    """What one run over the window does to the files, in chunks of a length."""
    beside = [whole_day(day) for day in SUITE.affected_days(window) if day in files]
    for part in sorted([*window.chunks(length), *beside]):
        frame = flagged(pulls, part)
        for day in part.dates:
            files[day] = frame.filter(pl.col("hour").dt.date() == day)


LEFT_OUT = object()
NIGHT = (0, 1, 2, 21, 22, 23)
values_by_hour = st.tuples(*[st.sampled_from([1.0, 20.0, 40.0, None, LEFT_OUT])] * len(NIGHT))
# One after another, days come by turns and again; each brings hours around its two midnights.
histories = st.lists(st.tuples(st.sampled_from(DATES), values_by_hour), min_size=2, max_size=5).map(
    lambda drawn: [
        (
            day,
            [
                {
                    "hour": whole_day(day).start + hour * HOUR,
                    "value_native": value,
                    "pulled_at": MIDNIGHT + (10 + number) * DAY,
                }
                for hour, value in zip(NIGHT, values, strict=True)
                if value is not LEFT_OUT
            ],
        )
        for number, (day, values) in enumerate(drawn)
    ]
)


@settings(max_examples=examples(20))
@given(histories, st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_range_is_its_days_and_its_pulls_in_any_order(
    pulls: list[Pull], length: int, order: random.Random
) -> None:
    at_once: dict[date, pl.DataFrame] = {}
    run(at_once, pulls, Window.of_days(DATES[0], DATES[-1]), length * DAY)

    by_day: dict[date, pl.DataFrame] = {}
    for day in order.sample(DATES, len(DATES)):
        run(by_day, pulls, whole_day(day))

    # One pull at a time, each followed by a run of its day.
    by_pull: dict[date, pl.DataFrame] = {}
    received: list[Pull] = []
    for pull in order.sample(pulls, len(pulls)):
        received.append(pull)
        run(by_pull, received, whole_day(pull[0]))

    assert at_once.keys() == by_day.keys() == set(DATES)
    assert by_pull.keys() == {day for day, _ in pulls}
    for found in (by_day, by_pull):
        for day, frame in found.items():
            assert_frame_equal(frame, at_once[day])


def test_a_late_hour_flags_the_day_beside_it_again() -> None:
    night = {"hour": MIDNIGHT + DAY, "value_native": 40.0}
    later = {"hour": MIDNIGHT + DAY + 4 * HOUR, "value_native": 1.0}
    before = {"hour": MIDNIGHT + DAY - 3 * HOUR, "value_native": 1.0}
    late = {"hour": MIDNIGHT + DAY - HOUR, "value_native": 39.0}
    first, second = DATES[:2]
    pulls: list[Pull] = [(first, [before]), (second, [night, later])]
    files: dict[date, pl.DataFrame] = {}
    run(files, pulls, whole_day(first))
    run(files, pulls, whole_day(second))
    assert files[second]["reasons"].to_list() == [["made_up"], []]
    pulls.append((first, [late]))
    run(files, pulls, whole_day(first))
    assert files[second]["reasons"].to_list() == [[], []]


@pytest.mark.parametrize(
    ("before", "after", "seen", "affected"),
    [
        pytest.param(0, 0, (0, 24), [], id="the-day-alone"),
        pytest.param(3, 0, (-3, 24), [1], id="looks-back"),
        pytest.param(0, 3, (0, 27), [-1], id="looks-ahead"),
        pytest.param(25, 24, (-25, 48), [-1, 1, 2], id="more-than-a-day"),
    ],
)
def test_context_and_the_days_that_a_change_reaches(
    before: int, after: int, seen: tuple[int, int], affected: list[int]
) -> None:
    both = (
        QualityTest("back", {}, before=before * HOUR),
        QualityTest("ahead", {}, after=after * HOUR),
    )
    suite = Suite(both)
    day = whole_day(FIRST)
    assert suite.with_context(day) == Window(*(MIDNIGHT + hours * HOUR for hours in seen))
    assert suite.affected_days(day) == [FIRST + n * DAY for n in affected]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 3))
def test_a_day_is_reached_where_its_context_holds_changed_hours(
    before: int, after: int, length: int
) -> None:
    suite = Suite((QualityTest("wide", {}, before=before * HOUR, after=after * HOUR),))
    window = Window(MIDNIGHT, MIDNIGHT + length * DAY)
    around = [FIRST + n * DAY for n in range(-5, 9)]
    expected = [
        day
        for day in around
        if not whole_day(day).overlaps(window)
        and suite.with_context(whole_day(day)).overlaps(window)
    ]
    assert suite.affected_days(window) == expected


def test_the_standard_suite_needs_a_day_on_either_side() -> None:
    """Where this changes, every run reads and writes more: docs/decisions/0013."""
    day = whole_day(FIRST)
    assert STANDARD.with_context(day) == Window(day.start - DAY, day.end + DAY)
    assert STANDARD.affected_days(day) == [FIRST - DAY, FIRST + DAY]


def test_a_new_test_is_one_more_name_behind_the_others() -> None:
    values = [1.0, 1.0, -1.0, 30.0, 1.0]
    rows = [{"hour": MIDNIGHT + n * HOUR, "value_native": v} for n, v in enumerate(values)]
    frame = flagged([(FIRST, rows)], whole_day(FIRST))
    assert frame["flag"].to_list() == ["valid", "valid", "valid", "suspect", "valid"]
    assert frame["reasons"].to_list() == [[], [], ["negative"], ["made_up"], []]
    readings = fold_versions(versions(*rows)).with_columns(value="value_native")
    found = findings(readings, SUITE).select("hour", "test", "flag", "observed", "limit").rows()
    assert found == [
        (MIDNIGHT + 2 * HOUR, "negative", "valid", -1.0, 0.0),
        (MIDNIGHT + 3 * HOUR, "made_up", "suspect", 29.0, 10.0),
    ]
    assert flag_readings(readings)["flag"].unique().to_list() == ["valid"]
