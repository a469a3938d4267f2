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
    forecast_report,
    forecast_scores,
    interval_score,
    pooled_scores,
)
from aq_science.forecasting.select import fit_models
from aq_science.forecasting.table import forecast_rows, forecast_series
from aq_science.tables.forecast_report import FORECAST_REPORT
from aq_science.tables.forecast_scores import FORECAST_SCORES, FORECAST_SCORES_BY_MODEL
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
    # The readings lie 0, 1 and 5 outside the 80 % intervals, 0, 0 and 4 outside the 95 % ones.
    assert row["interval_score_80"] == pytest.approx(2 + 10 * (0 + 1 + 5) / 3)
    assert row["interval_score_95"] == pytest.approx(4 + 40 * (0 + 0 + 4) / 3)
    assert row["pinball"] == pytest.approx(
        (9 / 3 / 2 + row["interval_score_80"] / 10 + row["interval_score_95"] / 40) / 5
    )
    assert row["n_persistence"] == 3


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
    assert (row["n"], row["n_persistence"]) == (2, 1)
    assert row["mae"] == pytest.approx((100 + 1) / 2)
    assert (row["mae_persistence"], row["skill"]) == (1.0, 0.0)


def test_skill_over_a_perfect_persistence_is_not_defined() -> None:
    row = only(forecast_scores(issued([2.0]), hourly([1.0, 1.0], MIDNIGHT - HOUR)))
    assert (row["mae"], row["mae_persistence"], row["skill"]) == (1.0, 0.0, None)


def test_ends_of_an_interval_are_within_it() -> None:
    row = only(forecast_scores(issued([2.0, 2.0]), hourly([1.0, 4.0])))
    assert (row["coverage_80"], row["coverage_95"]) == (0.5, 1.0)


def test_by_model_each_has_a_row_of_its_own() -> None:
    readings = hourly([1.0] * 3)
    curve = pl.lit("prophet_curve", pl.Categorical())
    forecasts = pl.concat(
        [issued([3.0, 5.0]), issued([11.0], MIDNIGHT + 2 * HOUR).with_columns(model=curve)]
    )
    scores = forecast_scores(forecasts, readings, FORECAST_SCORES_BY_MODEL)
    assert scores.schema == FORECAST_SCORES_BY_MODEL.schema
    assert scores.select("model", "n", "mae").rows() == [
        ("persistence", 2, 3.0),
        ("prophet_curve", 1, 10.0),
    ]
    (together,) = forecast_scores(forecasts, readings).iter_rows(named=True)
    assert (together["n"], together["mae"]) == (3, pytest.approx(16 / 3))


def test_a_forecast_without_an_interval_has_no_interval_score() -> None:
    bounds = [f"{side}_{share}" for side in ("lower", "upper") for share in (80, 95)]
    without = issued([3.0]).with_columns(pl.lit(None, pl.Float64).alias(name) for name in bounds)
    row = only(forecast_scores(without, hourly([1.0])))
    assert (row["mae"], row["coverage_80"], row["coverage_95"]) == (2.0, 0.0, 0.0)
    assert (row["interval_score_80"], row["interval_score_95"], row["pinball"]) == (None,) * 3


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


QUANTILES = {
    "lower_95": 0.025,
    "lower_80": 0.1,
    "value": 0.5,
    "upper_80": 0.9,
    "upper_95": 0.975,
}


def pinball(quantile: float, actual: float, level: float) -> float:
    """The loss of one quantile forecast, as it is defined."""
    above = actual - quantile
    return level * above if above >= 0 else (level - 1) * above


def winkler(lower: float, upper: float, actual: float, share: int) -> float:
    """The score of one interval, as it is defined."""
    alpha = 1 - share / 100
    if actual < lower:
        return upper - lower + 2 / alpha * (lower - actual)
    if actual > upper:
        return upper - lower + 2 / alpha * (actual - upper)
    return upper - lower


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
            "n_persistence": len(matched),
            "pinball": math.fsum(
                pinball(row[name], actual, level)
                for row, actual, _ in rows
                for name, level in QUANTILES.items()
            )
            / len(rows)
            / len(QUANTILES),
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
            **{
                f"interval_score_{share}": math.fsum(
                    winkler(row[f"lower_{share}"], row[f"upper_{share}"], actual, share)
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
    assert scores["n_persistence"].is_between(0, scores["n"]).all()
    # The intervals are two and four wide.
    assert (scores["interval_score_80"] >= 2 - slack).all()
    assert (scores["interval_score_95"] >= 4 - slack).all()
    assert (scores["pinball"] >= scores["mae"] / 10).all()
    assert not any(scores.select(pl.col(pl.Float64).is_nan().any()).row(0))
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


@given(VALUE, VALUE, VALUE, st.sampled_from([0.5, 0.8, 0.95]))
def test_an_interval_score_is_the_pinball_losses_of_its_ends(
    one: float, other: float, actual: float, coverage: float
) -> None:
    lower, upper = min(one, other), max(one, other)
    (score,) = interval_score(np.array([lower]), np.array([upper]), np.array([actual]), coverage)
    assert score >= upper - lower
    if lower <= actual <= upper:
        assert score == upper - lower
    alpha = 1 - coverage
    ends = pinball(lower, actual, alpha / 2) + pinball(upper, actual, 1 - alpha / 2)
    assert score * alpha / 2 == pytest.approx(ends, rel=1e-9, abs=1e-9)


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
        "rmse": pytest.approx(math.sqrt(39 / 4)),
        "bias": 7 / 4,
        "mae_persistence": 3.0,
        "skill": pytest.approx(1 - 11 / 12),
        "coverage_80": 1 / 4,
        "coverage_95": 2 / 4,
        "interval_score_80": pytest.approx(2 + 10 * (1 + 2 + 4) / 4),
        "interval_score_95": pytest.approx(4 + 40 * (1 + 3) / 4),
        "pinball": pytest.approx((11 / 8 + 19.5 / 10 + 44 / 40) / 5),
        "n_persistence": 4,
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


def test_rows_of_an_earlier_version_are_pooled_as_far_as_they_say() -> None:
    """They have neither interval scores nor the number of hours with persistence."""
    readings = hourly([10.0, 12.0, 14.0, 20.0, 9.0], MIDNIGHT - HOUR)
    new = forecast_scores(issued([13.0, 12.0]), readings)
    added = ["interval_score_80", "interval_score_95", "pinball", "n_persistence"]
    old = new.with_columns(pl.lit(None, FORECAST_SCORES.schema[name]).alias(name) for name in added)
    before = old.with_columns(date=pl.col("date") - pl.duration(days=1))
    both = only(pooled_scores(pl.concat([before, new]), "parameter"))
    expected = only(new)
    for name in ("mae", "skill", "coverage_80", "interval_score_80", "pinball"):
        assert both[name] == pytest.approx(expected[name])
    assert (both["n"], both["n_persistence"]) == (4, 4)
    alone = only(pooled_scores(before, "parameter"))
    assert [alone[name] for name in added] == [None, None, None, 2]


@settings(max_examples=examples(40))
@given(READINGS, READINGS, FORECASTS, st.randoms(use_true_random=False))
def test_pooled_scores_are_those_of_forecasts_scored_together(
    first: list[Any], second: list[Any], drawn: list[Any], random: Any
) -> None:
    """Of models and days, whatever the order of the rows, to the last bit."""
    forecasts, readings = frames(first, second, drawn)
    models = [random.choice(["persistence", "prophet_curve"]) for _ in range(len(forecasts))]
    forecasts = forecasts.with_columns(model=pl.Series(models, dtype=pl.Categorical()))
    by_model = forecast_scores(forecasts, readings, FORECAST_SCORES_BY_MODEL)
    # Of a row whose persistence made no error, that of the other hours is not known.
    uncertain = by_model.filter(
        (pl.col("n_persistence") < pl.col("n"))
        & pl.col("skill").is_null()
        & pl.col("mae_persistence").is_not_null()
    )
    pooled = pooled_scores(by_model, *FORECAST_SCORES.key)
    together = forecast_scores(forecasts, readings)
    left_out = ["skill"] if len(uncertain) else []
    assert_frame_equal(
        pooled.select(together.columns).drop(left_out), together.drop(left_out), abs_tol=1e-9
    )
    shuffled = by_model[random.sample(range(len(by_model)), len(by_model))]
    assert_frame_equal(pooled_scores(shuffled, *FORECAST_SCORES.key), pooled, check_exact=True)


def test_the_report_has_a_row_a_month_and_model() -> None:
    readings = hourly([1.0] * 24 * 35)
    days = [MIDNIGHT + n * DAY for n in (0, 1, 31)]
    forecasts = pl.concat(
        [issued([3.0, 5.0], days[0]), issued([9.0], days[1]), issued([2.0], days[2])]
    )
    report = forecast_report(forecast_scores(forecasts, readings, FORECAST_SCORES_BY_MODEL))
    assert report.schema == FORECAST_REPORT.schema
    assert report.select("month", "model", "mode", "n", "mae").rows() == [
        (date(2024, 3, 1), "persistence", "hindcast", 3, pytest.approx(14 / 3)),
        (date(2024, 4, 1), "persistence", "hindcast", 1, 1.0),
    ]
    empty = FORECAST_SCORES_BY_MODEL.schema.to_frame()
    assert_frame_equal(forecast_report(empty), FORECAST_REPORT.schema.to_frame())


def test_pooled_days_are_in_order() -> None:
    forecasts = pl.concat([issued([1.0], MIDNIGHT + n * DAY) for n in (2, 0, 1)])
    pooled = pooled_scores(forecast_scores(forecasts, hourly([1.0] * 60)), "date")
    assert pooled["date"].to_list() == [date(2024, 3, n) for n in (1, 2, 3)]
    assert pooled_scores(FORECAST_SCORES.schema.to_frame(), "date").is_empty()
