"""Why hours are missing: every hour has one cause, and together they add up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.gaps import (
    ANSWERED_SCHEMA,
    RETIRED_AFTER,
    expected_hours,
    gaps,
    hour_causes,
)
from aq_science.tables.core import broken_rows
from aq_science.tables.gaps import CAUSES, GAPS
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, hourly, station_frame

WINDOW = Window(MIDNIGHT, MIDNIGHT + DAY)
LATER = MIDNIGHT + 2 * DAY


def answers(*rows: tuple[str | None, datetime, datetime, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ANSWERED_SCHEMA, orient="row")


EVERYTHING = answers((None, WINDOW.start, WINDOW.end, LATER))


def causes_of(
    readings: pl.DataFrame,
    answered: pl.DataFrame = EVERYTHING,
    due: datetime = LATER,
    **station: Any,
) -> dict[int, str]:
    """Cause by hour of the day, of the one station's PM2.5."""
    stations = station_frame("s1", **{"last_seen": LATER, **station})
    expected = expected_hours(stations, readings, WINDOW)
    found = hour_causes(expected, readings, answered, stations, due)
    return {hour.hour: cause for hour, cause in found.select("hour", "cause").iter_rows()}


def test_a_whole_day_has_no_gaps() -> None:
    assert causes_of(hourly([10.0] * 24)) == {}


def test_what_a_test_rejects_is_named() -> None:
    readings = hourly([10.0] * 24, flag=["valid"] * 23 + ["suspect"]).with_columns(
        reasons=pl.when(pl.col("flag") == "suspect").then(pl.lit(["spike", "negative"]))
    )
    stations = station_frame("s1")
    expected = expected_hours(stations, readings, WINDOW)
    [row] = hour_causes(expected, readings, EVERYTHING, stations, LATER).to_dicts()
    assert (row["cause"], row["tests"]) == ("rejected", ["spike"])


@pytest.mark.parametrize(
    ("reasons", "cause"),
    [(["coverage"], "coverage_too_low"), (["sentinel", "coverage"], "rejected")],
)
def test_low_coverage_is_a_cause_of_its_own(reasons: list[str], cause: str) -> None:
    readings = hourly([10.0], flag="invalid").with_columns(reasons=pl.lit(reasons))
    assert causes_of(readings)[0] == cause


def test_a_withdrawn_value_is_one() -> None:
    readings = hourly([10.0], flag="missing").with_columns(
        value=None, status=pl.lit("withdrawn"), reasons=pl.lit(["withdrawn"])
    )
    assert causes_of(readings.cast(hourly([]).schema))[0] == "withdrawn"


def test_a_network_that_answered_was_silent() -> None:
    assert causes_of(hourly([10.0, None, 12.0, *[9.0] * 21])) == {1: "source_silent"}


def test_without_an_answer_the_pull_failed() -> None:
    early = answers((None, WINDOW.start, WINDOW.end, MIDNIGHT + 12 * HOUR))
    found = causes_of(hourly([10.0]), early)
    assert {hour for hour, cause in found.items() if cause == "source_silent"} == set(range(1, 12))
    assert {hour for hour, cause in found.items() if cause == "pull_failed"} == set(range(12, 24))


def test_an_answer_about_another_station_says_nothing() -> None:
    other = answers(("s2", WINDOW.start, WINDOW.end, LATER))
    assert set(causes_of(hourly([10.0]), other).values()) == {"pull_failed"}
    own = answers(("s1", WINDOW.start, WINDOW.end, LATER))
    assert set(causes_of(hourly([10.0]), own).values()) == {"source_silent"}


def test_the_newest_hours_are_not_due_yet() -> None:
    found = causes_of(hourly([10.0] * 20), due=MIDNIGHT + 22 * HOUR)
    assert found == {20: "source_silent", 21: "source_silent", 22: "not_yet_due", 23: "not_yet_due"}


def test_a_station_long_unheard_of_is_retired() -> None:
    left = MIDNIGHT - RETIRED_AFTER - HOUR
    assert set(causes_of(hourly([]), last_seen=left).values()) == {"station_retired"}


def test_hours_of_half_hour_zones_are_expected_where_they_are() -> None:
    half = hourly([10.0] * 24).with_columns(hour=pl.col("hour") + timedelta(minutes=30))
    assert causes_of(half) == {}


def test_runs_of_one_cause_are_one_row() -> None:
    readings = hourly([10.0] * 3 + [None] * 4 + [10.0] * 17)
    stations = station_frame("s1", last_seen=LATER)
    expected = expected_hours(stations, readings, WINDOW)
    found = gaps(hour_causes(expected, readings, EVERYTHING, stations, LATER), "airqino")
    [row] = found.to_dicts()
    assert (row["first_hour"], row["last_hour"]) == (MIDNIGHT + 3 * HOUR, MIDNIGHT + 6 * HOUR)
    assert (row["hours"], row["cause"], row["tests"]) == (4, "source_silent", None)


hours_of_a_day = st.lists(
    st.sampled_from([None, "valid", "suspect", "invalid", "missing"]), min_size=24, max_size=24
)


@given(
    st.lists(hours_of_a_day, min_size=1, max_size=2),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_a_days_hours_always_add_up(
    days: list[list[str | None]], answered_until: int, due: int
) -> None:
    parts = [
        hourly(
            [None if flag is None else 10.0 for flag in flags],
            station=f"s{n}",
            flag=[flag or "valid" for flag in flags],
        )
        for n, flags in enumerate(days)
    ]
    readings = pl.concat(parts)
    stations = station_frame(*(f"s{n}" for n in range(len(days))))
    expected = expected_hours(stations, readings, WINDOW)
    answered = answers((None, WINDOW.start, WINDOW.end, MIDNIGHT + answered_until * HOUR))
    causes = hour_causes(expected, readings, answered, stations, MIDNIGHT + due * HOUR)
    valid = sum(flag == "valid" for flags in days for flag in flags)
    assert len(causes) + valid == 24 * len(days)
    assert set(causes["cause"]) <= set(CAUSES)
    found = gaps(causes, "airqino")
    assert found["hours"].sum() == len(causes)
    assert found.schema == GAPS.schema
    assert all(bad.is_empty() for bad in broken_rows(GAPS, found).values())


moments = st.integers(-3, 30).map(lambda n: MIDNIGHT + n * HOUR)


@given(
    st.lists(
        st.tuples(st.sampled_from([None, "s1", "s2"]), moments, st.integers(0, 20), moments),
        max_size=12,
    )
)
def test_an_hour_was_asked_for_where_any_answer_after_it_covers_it(
    said: list[tuple[str | None, datetime, int, datetime]],
) -> None:
    answered = [(name, start, start + n * HOUR, came) for name, start, n, came in said]
    stations = station_frame("s1", "s2", last_seen=LATER)
    expected = expected_hours(stations, hourly([]), WINDOW)
    found = hour_causes(expected, hourly([]), answers(*answered), stations, LATER)
    assert len(found) == 48
    for row in found.iter_rows(named=True):
        hour = row["hour"]
        covered = any(
            name in (None, row["station_id"]) and start <= hour < end and came >= hour + HOUR
            for name, start, end, came in answered
        )
        assert row["cause"] == ("source_silent" if covered else "pull_failed")
