"""Scores of forecasts: hand-computed ones, what counts and what does not, and laws."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.forecasting.methods.persistence import MAX_LAG
from aq_science.forecasting.predict import forecast_many
from aq_science.forecasting.scores import (
    REACH_AFTER,
    REACH_BEFORE,
    forecast_scores,
    pooled_scores,
)
from aq_science.forecasting.select import fit_models
from aq_science.forecasting.table import forecast_rows, forecast_series
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, forecast_frame, hourly
from tests.laws import examples

KEY = ["network", "station_id", "parameter", "horizon", "date", "mode"]


def only(frame: pl.DataFrame) -> dict[str, Any]:
    assert len(frame) == 1
    return frame.row(0, named=True)


def horizon(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    return frame.filter(pl.col("horizon") == number)


def issued(values: list[float], start: datetime = MIDNIGHT, **columns: Any) -> pl.DataFrame:
    """Forecasts with the given values, issued hour by hour, for horizon 1 alone."""
    frames = [forecast_frame(start + n * HOUR, v, **columns) for n, v in enumerate(values)]
    return horizon(pl.concat(frames), 1)


def test_hand_computed() -> None:
    # Read 10 an hour before midnight, then 12, 14, 20; the 80 % interval is ±1, the 95 % one ±2.
    readings = hourly([10.0, 12.0, 14.0, 20.0], MIDNIGHT - HOUR)
    row = only(forecast_scores(issued([13.0, 12.0, 26.0]), readings))
    assert {name: row[name] for name in KEY} == {
        "network": "airqino",
        "station_id": "s1",
        "parameter": "pm25",
        "horizon": 1,
        "date": MIDNIGHT.date(),
        "mode": "hindcast",
    }
    # Errors 1, -2, 6; those of persistence 2, 2, 6.
    assert row["n"] == 3
    assert row["mae"] == pytest.approx(9 / 3)
    assert row["rmse"] == pytest.approx(math.sqrt(41 / 3))
    assert row["bias"] == pytest.approx(5 / 3)
    assert row["mae_persistence"] == pytest.approx(10 / 3)
    assert row["skill"] == pytest.approx(1 - 9 / 10)
    assert row["coverage_80"] == pytest.approx(1 / 3)
    assert row["coverage_95"] == pytest.approx(2 / 3)


def test_second_horizon_is_compared_with_the_reading_two_hours_before() -> None:
    readings = hourly([10.0, 12.0, 17.0], MIDNIGHT - HOUR)
    row = only(horizon(forecast_scores(forecast_frame(MIDNIGHT, 15.0), readings), 2))
    assert (row["mae"], row["mae_persistence"], row["bias"]) == (2.0, 7.0, -2.0)


def test_a_forecast_belongs_to_its_day_of_issue() -> None:
    last = MIDNIGHT + 23 * HOUR
    scores = forecast_scores(forecast_frame(last, 5.0), hourly([1.0] * 48))
    assert scores.select("horizon", "date").rows() == [(1, MIDNIGHT.date()), (2, MIDNIGHT.date())]


def test_live_forecasts_and_hindcasts_are_scored_apart() -> None:
    forecasts = pl.concat([issued([3.0], mode="live"), issued([5.0], MIDNIGHT + HOUR)])
    scores = forecast_scores(forecasts, hourly([1.0] * 2))
    assert set(scores.select("mode", "n", "mae").rows()) == {("live", 1, 2.0), ("hindcast", 1, 4.0)}


@pytest.mark.parametrize("flag", ["suspect", "invalid", "missing"])
def test_a_flagged_reading_is_neither_actual_nor_persistence(flag: str) -> None:
    readings = hourly([10.0, 99.0, 11.0], MIDNIGHT - HOUR, flag=["valid", flag, "valid"])
    row = only(forecast_scores(issued([50.0, 12.0]), readings))
    assert (row["n"], row["mae"], row["mae_persistence"]) == (1, 1.0, 1.0)


def test_what_has_not_come_yet_is_left_out() -> None:
    row = only(forecast_scores(issued([3.0, 99.0, 99.0]), hourly([1.0])))
    assert (row["n"], row["mae"]) == (1, 2.0)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_forecast_without_a_value_is_left_out(value: float | None) -> None:
    empty = issued([1.0], MIDNIGHT + HOUR).with_columns(value=pl.lit(value, pl.Float64))
    readings = hourly([1.0, 1.0])
    assert forecast_scores(empty, readings).is_empty()
    row = only(forecast_scores(pl.concat([issued([3.0]), empty]), readings))
    assert (row["n"], row["mae"]) == (1, 2.0)


def test_nothing_to_score_gives_no_row() -> None:
    forecasts, readings = issued([1.0]), hourly([1.0])
    others = hourly([1.0], station="s2"), hourly([1.0], parameter="co"), hourly([1.0], network="x")
    for some in (readings.clear(), *others, hourly([1.0], MIDNIGHT - HOUR)):
        assert_frame_equal(forecast_scores(forecasts, some), FORECAST_SCORES.schema.to_frame())
    assert_frame_equal(
        forecast_scores(forecasts.clear(), readings), FORECAST_SCORES.schema.to_frame()
    )


@pytest.mark.parametrize("number", [1, 2])
def test_persistence_reaches_as_far_as_the_one_that_is_served(number: int) -> None:
    """Up to eight hours before the predicted hour, whatever the horizon."""
    forecasts = horizon(forecast_frame(MIDNIGHT, 5.0), number)
    target = MIDNIGHT + (number - 1) * HOUR
    for lag, expected in ((MAX_LAG, 3.0), (MAX_LAG + 1, None)):
        readings = pl.concat([hourly([4.0], target - lag * HOUR), hourly([1.0], target)])
        row = only(forecast_scores(forecasts, readings))
        assert (row["n"], row["mae"]) == (1, 4.0)
        assert row["mae_persistence"] == expected
        assert (row["skill"] is None) == (expected is None)


def test_persistence_does_not_see_the_hour_in_progress() -> None:
    """At issue time H the hour that begins at H is the one to predict, for horizon 2 as well."""
    readings = hourly([3.0, 100.0, 7.0], MIDNIGHT - HOUR)
    row = only(horizon(forecast_scores(forecast_frame(MIDNIGHT, 7.0), readings), 2))
    assert row["mae_persistence"] == 4.0


def test_skill_compares_over_the_hours_that_persistence_has() -> None:
    # Nothing is known at midnight; an hour later the reading of midnight is.
    row = only(forecast_scores(issued([101.0, 3.0]), hourly([1.0, 2.0])))
    assert row["n"] == 2
    assert row["mae"] == pytest.approx((100 + 1) / 2)
    assert (row["mae_persistence"], row["skill"]) == (1.0, 0.0)


def test_skill_over_a_perfect_persistence_is_not_defined() -> None:
    row = only(forecast_scores(issued([2.0]), hourly([1.0, 1.0], MIDNIGHT - HOUR)))
    assert (row["mae"], row["mae_persistence"], row["skill"]) == (1.0, 0.0, None)


def test_ends_of_an_interval_are_within_it() -> None:
    row = only(forecast_scores(issued([2.0, 2.0]), hourly([1.0, 4.0])))
    assert (row["coverage_80"], row["coverage_95"]) == (0.5, 1.0)


def test_persistence_is_the_one_that_forecasting_tells() -> None:
    rng = np.random.default_rng(5)
    values = [float(v) if rng.random() > 0.4 else None for v in rng.gamma(4, 5, 96)]
    readings = pl.concat(
        [hourly(values[n:] + values[:n], MIDNIGHT - DAY, station=f"s{n}") for n in range(3)]
    )
    hours = [MIDNIGHT + n * HOUR for n in range(24)]
    series = forecast_series(readings)
    made = forecast_many(fit_models(readings, MIDNIGHT.date(), series), readings, hours, series)
    actual = readings.select(pl.col("station_id").cast(pl.String), "hour", actual="value")
    expected = (
        made.join(actual, on=["station_id", "hour"])
        .group_by("station_id", "horizon")
        .agg(
            n=pl.len(),
            mae=(pl.col("value") - pl.col("actual")).abs().mean(),
            mae_persistence=(pl.col("persistence") - pl.col("actual")).abs().mean(),
        )
        .sort("station_id", "horizon")
    )
    scores = forecast_scores(forecast_rows(made, "airqino", MIDNIGHT + DAY), readings)
    assert len(scores) == 6
    assert made["persistence"].null_count() < len(made)
    assert_frame_equal(
        scores.select(pl.col("station_id").cast(pl.String), "horizon", *expected.columns[2:]),
        expected,
        check_dtypes=False,
    )


# Laws

VALUE = st.floats(-50, 1000)
HOURS = 60
READINGS = st.lists(
    st.tuples(VALUE, st.sampled_from(["valid", "valid", "valid", "suspect"])) | st.none(),
    min_size=HOURS,
    max_size=HOURS,
)
FORECASTS = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2"]),
        st.integers(0, 47),
        VALUE | st.none(),
        st.sampled_from(["live", "hindcast"]),
    ),
    max_size=20,
    unique_by=lambda row: row[:2],
)


def frames(
    first: list[Any], second: list[Any], drawn: list[Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two days of forecasts and readings of two stations, from 8 hours before to 4 after."""
    readings = pl.concat(
        hourly(
            [cell and cell[0] for cell in cells],
            MIDNIGHT - REACH_BEFORE,
            station=name,
            flag=[cell[1] if cell else "valid" for cell in cells],
        )
        for name, cells in (("s1", first), ("s2", second))
    )
    rows = [
        forecast_frame(MIDNIGHT + n * HOUR, value or 0.0, mode, stations=(station,)).with_columns(
            value=pl.lit(value, pl.Float64)
        )
        for station, n, value, mode in drawn
    ]
    return pl.concat(rows) if rows else forecast_frame(MIDNIGHT, 0.0).clear(), readings


def skill_by_hand(mae: float, mae_persistence: float) -> float | None:
    skill = 1 - mae / mae_persistence
    return skill if math.isfinite(skill) else None


def by_hand(forecasts: pl.DataFrame, readings: pl.DataFrame) -> dict[tuple[Any, ...], Any]:
    """The same scores in plain Python, one forecast after another."""
    valid = {
        (row["station_id"], row["hour"]): row["value"]
        for row in readings.iter_rows(named=True)
        if row["flag"] == "valid"
    }
    pairs: dict[tuple[Any, ...], list[tuple[dict[str, Any], float, float | None]]] = {}
    for row in forecasts.iter_rows(named=True):
        actual = valid.get((row["station_id"], row["hour"]))
        if actual is None or row["value"] is None:
            continue
        earlier = (row["issued_for"] - back * HOUR for back in range(1, 9))
        known = (
            valid[row["station_id"], hour]
            for hour in earlier
            if row["hour"] - hour <= 8 * HOUR and (row["station_id"], hour) in valid
        )
        key = (row["station_id"], row["horizon"], row["issued_for"].date(), row["mode"])
        pairs.setdefault(key, []).append((row, actual, next(known, None)))
    scores = {}
    for key, rows in pairs.items():
        errors = [row["value"] - actual for row, actual, _ in rows]
        matched = [
            (abs(row["value"] - actual), abs(last - actual))
            for row, actual, last in rows
            if last is not None
        ]
        mae_last = math.fsum(b for _, b in matched) / len(matched) if matched else None
        scores[key] = {
            "n": len(rows),
            "mae": math.fsum(map(abs, errors)) / len(rows),
            "rmse": math.sqrt(math.fsum(e * e for e in errors) / len(rows)),
            "bias": math.fsum(errors) / len(rows),
            "mae_persistence": mae_last,
            "skill": skill_by_hand(math.fsum(a for a, _ in matched) / len(matched), mae_last)
            if mae_last
            else None,
            **{
                f"coverage_{share}": sum(
                    row[f"lower_{share}"] <= actual <= row[f"upper_{share}"]
                    for row, actual, _ in rows
                )
                / len(rows)
                for share in (80, 95)
            },
        }
    return scores


def test_a_persistence_that_is_next_to_right_gives_no_skill() -> None:
    readings = [(n % 2 * 1e-307, "valid") for n in range(HOURS)]
    scores = forecast_scores(*frames(readings, readings, [("s1", 26, 1e9, "live")]))
    assert (scores["mae_persistence"] < 1e-300).all()
    assert scores["skill"].null_count() == len(scores) == 2


@settings(max_examples=examples(40))
@given(READINGS, READINGS, FORECASTS)
def test_scores_are_those_of_the_plain_definition(
    first: list[Any], second: list[Any], drawn: list[Any]
) -> None:
    forecasts, readings = frames(first, second, drawn)
    scores = forecast_scores(forecasts, readings)
    assert scores.schema == FORECAST_SCORES.schema
    found = {
        (row["station_id"], row["horizon"], row["date"], row["mode"]): row
        for row in scores.iter_rows(named=True)
    }
    expected = by_hand(forecasts, readings)
    assert found.keys() == expected.keys()
    assert len(scores) == len(expected)
    for key, row in expected.items():
        told = {name: found[key][name] for name in row}
        assert {name for name in row if told[name] is None} == {
            name for name in row if row[name] is None
        }
        there = {name: value for name, value in row.items() if value is not None}
        assert {name: told[name] for name in there} == pytest.approx(there, rel=1e-9, abs=1e-9)


@settings(max_examples=examples(40))
@given(READINGS, READINGS, FORECASTS)
def test_bounds_that_always_hold(first: list[Any], second: list[Any], drawn: list[Any]) -> None:
    forecasts, readings = frames(first, second, drawn)
    scores = forecast_scores(forecasts, readings)
    assert (scores["n"] >= 1).all()
    assert scores["n"].sum() <= len(forecasts)
    slack = 1e-9
    assert (scores["rmse"] >= scores["mae"] - slack).all()
    assert (scores["mae"] >= scores["bias"].abs() - slack).all()
    assert (scores["coverage_80"].is_between(0, scores["coverage_95"])).all()
    assert (scores["coverage_95"] <= 1).all()
    assert (scores["skill"].drop_nulls() <= 1).all()
    assert scores.select(pl.col(pl.Float64).is_nan().any()).row(0) == (False,) * 7
    assert_frame_equal(scores, scores.sort(KEY))


@settings(max_examples=examples(40))
@given(READINGS, READINGS, FORECASTS, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_cut_into_days_changes_a_bit(
    first: list[Any], second: list[Any], drawn: list[Any], random: Any
) -> None:
    forecasts, readings = frames(first, second, drawn)
    scores = forecast_scores(forecasts, readings)
    orders = [random.sample(range(len(f)), len(f)) for f in (forecasts, readings)]
    assert_frame_equal(
        forecast_scores(forecasts[orders[0]], readings[orders[1]]), scores, check_exact=True
    )
    days = []
    for day in Window(MIDNIGHT, MIDNIGHT + 2 * DAY).chunks(DAY):
        reach = day.padded(before=REACH_BEFORE, after=REACH_AFTER)
        days.append(
            forecast_scores(
                forecasts.filter(
                    pl.col("issued_for").is_between(day.start, day.end, closed="left")
                ),
                readings.filter(pl.col("hour").is_between(reach.start, reach.end, closed="left")),
            )
        )
    assert_frame_equal(pl.concat(days).sort(KEY), scores, check_exact=True)


@given(st.lists(VALUE, min_size=12, max_size=12), st.floats(0.001, 1000))
def test_persistence_as_forecast_has_no_skill_and_a_perfect_one_has_all(
    values: list[float], unit: float
) -> None:
    values = [value * unit for value in values]
    readings = hourly(values, MIDNIGHT - HOUR)
    same = only(forecast_scores(issued(values[:-1]), readings))
    assert same["mae"] == same["mae_persistence"]
    assert same["skill"] == (0.0 if same["mae"] > 0 else None)
    perfect = only(forecast_scores(issued(values[1:]), readings))
    assert (perfect["mae"], perfect["rmse"], perfect["bias"]) == (0.0, 0.0, 0.0)
    assert perfect["coverage_80"] == perfect["coverage_95"] == 1.0
    assert perfect["skill"] == (1.0 if perfect["mae_persistence"] > 0 else None)


# Pooling


def test_pooled_scores_are_those_of_all_forecasts_together() -> None:
    readings = pl.concat(
        hourly([10.0, 12.0, 14.0, 20.0, 9.0], MIDNIGHT - HOUR, station=s) for s in ("s1", "s2")
    )
    few, many = issued([13.0], stations=("s1",)), issued([10.0, 17.0, 25.0], stations=("s2",))
    apart = forecast_scores(pl.concat([few, many]), readings)
    assert apart["n"].to_list() == [1, 3]
    together = only(pooled_scores(apart, "date", "parameter"))
    # Errors 1 and 2, 3, 5; those of persistence 2 and 2, 2, 6; within ±1 of the forecast: one.
    assert together == {
        "date": MIDNIGHT.date(),
        "parameter": "pm25",
        "n": 4,
        "mae": 11 / 4,
        "mae_persistence": 3.0,
        "skill": pytest.approx(1 - 11 / 12),
        "coverage_80": 1 / 4,
    }


def test_pooled_skill_leaves_out_what_persistence_cannot_tell() -> None:
    readings = hourly([10.0, 12.0], MIDNIGHT - HOUR)
    lonely = hourly([5.0], station="s2")
    forecasts = pl.concat([issued([13.0]), issued([105.0], stations=("s2",))])
    pooled = only(pooled_scores(forecast_scores(forecasts, pl.concat([readings, lonely])), "date"))
    assert (pooled["n"], pooled["mae"]) == (2, 101 / 2)
    assert (pooled["mae_persistence"], pooled["skill"]) == (2.0, 0.5)
    alone = only(pooled_scores(forecast_scores(forecasts, lonely), "date"))
    assert (alone["mae"], alone["mae_persistence"], alone["skill"]) == (100.0, None, None)


def test_pooled_skill_over_a_perfect_persistence_is_not_defined() -> None:
    scores = forecast_scores(issued([2.0]), hourly([1.0, 1.0], MIDNIGHT - HOUR))
    assert only(pooled_scores(scores, "date"))["skill"] is None


def test_pooled_days_are_in_order() -> None:
    forecasts = pl.concat([issued([1.0], MIDNIGHT + n * DAY) for n in (2, 0, 1)])
    pooled = pooled_scores(forecast_scores(forecasts, hourly([1.0] * 60)), "date")
    assert pooled["date"].to_list() == [date(2024, 3, n) for n in (1, 2, 3)]
    assert pooled_scores(FORECAST_SCORES.schema.to_frame(), "date").is_empty()
