"""NowCast against published values, and what holds for every series."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.indices.nowcast import HOURS, nowcast
from aq_science.indices.us_epa import aqi
from tests.factories import HOUR, MIDNIGHT, hourly

# The worked example of the EPA, from the oldest hour to the newest.
EXAMPLE = [34.9, 43.0, 50.0, 64.9, 69.2, 66.2, 53.7, 48.6, 49.2, 35.0, None, 21.0]

# Finite, with noise below zero; gaps as None.
SERIES = st.lists(st.none() | st.floats(-5, 1000), min_size=1, max_size=40).filter(
    lambda values: any(value is not None for value in values)
)


def at(frame: pl.DataFrame, hour: datetime) -> float | None:
    found = frame.filter(pl.col("hour") == hour)["value"]
    return found.item() if len(found) else None


def last(values: list[float | None]) -> float | None:
    """NowCast of the last hour; the frame reaches that far, whether it has a value or not."""
    readings = pl.concat(
        [
            hourly(values),
            hourly([0.0], MIDNIGHT + (len(values) - 1) * HOUR, station="other"),
        ]
    )
    found = nowcast(readings).filter(pl.col("station_id") == "s1")
    return at(found, MIDNIGHT + (len(values) - 1) * HOUR)


def by_definition(values: list[float | None]) -> float | None:
    """The last hour's, as the EPA writes it down."""
    window = values[-HOURS:]
    here = [value for value in window if value is not None]
    if sum(value is not None for value in window[-3:]) < 2:
        return None
    weight = 1.0 if max(here) == 0 else min(1.0, max(0.5, min(here) / max(here)))
    pairs = [
        (weight**age, value) for age, value in enumerate(reversed(window)) if value is not None
    ]
    return sum(w * value for w, value in pairs) / sum(w for w, _ in pairs)


def test_the_example_of_the_epa() -> None:
    value = last(EXAMPLE)
    assert value == pytest.approx(28.40980136763, abs=1e-10)
    frame = pl.DataFrame({"value": [value]})
    assert frame.select(aqi("pm25", pl.col("value"))).item() == 87


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0.0] * 11 + [71.0], 35.5087, id="a pulse after clean air"),
        pytest.param([0.0] * 12, 0.0, id="clean air"),
        pytest.param([12.0] * 12, 12.0, id="steady"),
        pytest.param([10.0, None, 5.0], 6.0, id="two of the last three"),
        pytest.param([None, 10.0, 5.0, None], (0.5 * 5 + 0.25 * 10) / 0.75, id="without the last"),
        pytest.param([10.0, None, None], None, id="one of the last three"),
        pytest.param([10.0] * 9 + [None, None, 5.0], None, id="one of the last three, many before"),
        pytest.param([900.0] + [10.0] * 12, 10.0, id="the thirteenth hour is forgotten"),
        pytest.param([-1.0, -1.0, -1.0], -1.0, id="noise below zero"),
        pytest.param([4.0], None, id="a single hour"),
    ],
)
def test_values_by_hand(values: list[float | None], expected: float | None) -> None:
    assert last(values) == (None if expected is None else pytest.approx(expected, abs=5e-5))


@given(SERIES)
def test_it_is_the_definition(values: list[float | None]) -> None:
    expected = by_definition(values)
    assert last(values) == (None if expected is None else pytest.approx(expected, abs=1e-9))


@given(SERIES)
def test_it_lies_within_its_window(values: list[float | None]) -> None:
    found = last(values)
    here = [value for value in values[-HOURS:] if value is not None]
    assert found is None or min(here) - 1e-9 <= found <= max(here) + 1e-9


@given(SERIES, SERIES, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(one, other, random) -> None:
    readings = pl.concat([hourly(one), hourly(other, parameter="pm10")])
    order = random.sample(range(len(readings)), len(readings))
    assert_frame_equal(nowcast(readings[order]), nowcast(readings))


@given(SERIES, st.integers(-1000, 1000))
def test_later_readings_have_the_same_values_later(values, hours: int) -> None:
    shift = timedelta(hours=hours)
    later = nowcast(hourly(values, MIDNIGHT + shift))
    assert_frame_equal(later, nowcast(hourly(values)).with_columns(pl.col("hour") + shift))


def test_series_know_nothing_of_each_other() -> None:
    parts = [
        hourly(EXAMPLE),
        hourly([5.0] * 30, MIDNIGHT - 3 * HOUR, station="s2"),
        hourly([80.0, 70.0, None, 60.0], parameter="pm10"),
        # In India an hour begins at :30 UTC.
        hourly([float(n) for n in range(20)], MIDNIGHT + timedelta(minutes=30), station="delhi"),
    ]
    apart = pl.concat([nowcast(part) for part in parts])
    order = ["station_id", "parameter", "hour"]
    together = nowcast(pl.concat(parts))
    assert_frame_equal(together.join(apart, order, how="semi"), apart.sort(order))
    # Up to the last hour of all, a series has values as long as two of its last three are there.
    more = together.join(apart, order, how="anti")
    assert set(more["hour"] - MIDNIGHT) <= {4 * HOUR, 12 * HOUR}


def test_only_valid_hours_of_particles_count() -> None:
    flagged = hourly([10.0, 900.0, 10.0, 10.0], flag=["valid", "suspect", "valid", "valid"])
    found = nowcast(pl.concat([flagged, hourly([1.0] * 4, parameter="co")]))
    assert set(found["parameter"]) == {"pm25"}
    assert found["value"].to_list() == [10.0, 10.0]
    assert found["hour"].to_list() == [MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR]


def test_no_number_is_no_value() -> None:
    assert at(nowcast(hourly([10.0, math.nan, 10.0])), MIDNIGHT + 2 * HOUR) == 10.0


def test_no_readings_have_no_nowcast() -> None:
    found = nowcast(hourly([]))
    assert found.is_empty()
    assert found.columns == ["station_id", "parameter", "hour", "value"]
