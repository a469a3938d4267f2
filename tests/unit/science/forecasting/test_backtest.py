"""Rolling-origin forecasts: which issue times, what they see, and how they are scored."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.backtest import (
    BACKTEST_SCHEMA,
    Block,
    backtest,
    backtest_scores,
    blocks,
    network_days,
    seen_by,
    usable_models,
)
from aq_science.forecasting.table import forecast_series
from tests.factories import DAY, HOUR, MIDNIGHT, hourly, utc

FIRST = utc(2024, 1, 1)


def test_without_a_start_scoring_begins_after_eight_weeks() -> None:
    found = list(blocks(FIRST, FIRST + 60 * DAY, None, 7))
    assert found[0].model_day == date(2024, 2, 27)
    assert found[0].issue_times[0] == utc(2024, 2, 27)


@given(st.integers(0, 700), st.integers(0, 300), st.integers(1, 9))
def test_every_hour_from_the_start_to_the_last_reading_is_one_issue_time(
    start: int, length: int, refit_days: int
) -> None:
    since = FIRST + start * HOUR
    last = since + length * HOUR
    found = list(blocks(FIRST, last, since, refit_days))
    times = [moment for block in found for moment in block.issue_times]
    assert times == [since + n * HOUR for n in range(length + 1)]
    for block in found:
        assert block.model_day <= block.issue_times[0].date()
        assert block.issue_times[-1].date() < block.model_day + timedelta(days=refit_days)


def test_readings_that_end_before_scoring_starts_are_an_error() -> None:
    with pytest.raises(ValueError, match="end at 2024-01-03 00:00Z, before scoring starts"):
        list(blocks(FIRST, FIRST + 2 * DAY, None, 7))


def test_what_comes_later_changes_no_forecast() -> None:
    values = [20.0 + 8 * ((n * 7919) % 31) / 31 + (n % 24) / 3 for n in range(24 * 14)]
    start = MIDNIGHT - 12 * DAY
    readings = hourly(values, start).select("station_id", "parameter", "hour", "value", "flag")
    issue = MIDNIGHT + 5 * HOUR
    block = Block(MIDNIGHT.date(), tuple(MIDNIGHT + n * HOUR for n in range(6)))
    series = forecast_series(readings)
    plain = backtest(seen_by(readings, block), block, series).rows
    changed = readings.with_columns(
        value=pl.when(pl.col("hour") >= issue).then(999.0).otherwise("value")
    )
    made = backtest(seen_by(changed, block), block, series).rows
    assert plain.schema == BACKTEST_SCHEMA
    each = backtest(seen_by(readings, block), block, series, each_method=True)
    assert each.rows.equals(plain)
    of_each = each.of_each.group_by("model").len()
    assert dict(of_each.iter_rows()) == {
        "persistence": 12,
        "prophet_residual": 12,
        "prophet_regression": 12,
    }
    assert len(plain) == 12
    assert made.drop("actual").equals(plain.drop("actual"))
    assert not made.equals(plain)
    last = plain.row(-1, named=True)
    assert (last["issued_for"], last["hour"]) == (issue, issue + HOUR)
    assert last["persistence"] == values[12 * 24 + 4]
    assert last["actual"] == values[12 * 24 + 6]


def test_the_network_is_fitted_for_the_first_block_and_to_judge_by() -> None:
    series = pl.DataFrame({"station_id": ["a", "b"], "parameter": ["pm25", "pm25"]})
    days = [date(2024, 3, 1) + timedelta(days=7 * n) for n in range(20)]
    found = network_days(series, date(2024, 1, 1), days)
    assert found[:3] == [date(2024, 2, 23), date(2024, 3, 1), date(2024, 3, 8)]
    assert set(found[1:]) <= set(days)
    many = pl.DataFrame({"station_id": [str(n) for n in range(500)], "parameter": "pm25"})
    assert len(network_days(many, date(2020, 1, 1), days)) < len(found)


def test_a_block_uses_the_newest_model_and_the_newest_it_can_be_judged_by() -> None:
    trained = [date(2024, 2, 23), date(2024, 3, 1), date(2024, 3, 8), date(2024, 3, 22)]
    network = pl.DataFrame({"trained_to": trained})
    block = Block(date(2024, 3, 15), ())
    assert usable_models(network, block)["trained_to"].to_list() == [date(2024, 3, 8)]
    earlier = Block(date(2024, 3, 14), ())
    assert usable_models(network, earlier)["trained_to"].to_list() == trained[1:3]


def rows(*of: tuple[float | None, float, float | None]) -> pl.DataFrame:
    """Value, actual and persistence of each; the intervals are five and ten to either side."""
    return pl.DataFrame(
        [
            {
                "station_id": "s1",
                "parameter": "pm25",
                "issued_for": MIDNIGHT + n * HOUR,
                "horizon": 1,
                "hour": MIDNIGHT + n * HOUR,
                "value": value,
                "lower_80": None if value is None else value - 5,
                "upper_80": None if value is None else value + 5,
                "lower_95": None if value is None else value - 10,
                "upper_95": None if value is None else value + 10,
                "persistence": persistence,
                "actual": actual,
            }
            for n, (value, actual, persistence) in enumerate(of)
        ],
        schema=BACKTEST_SCHEMA,
    )


def test_scores_worked_out_by_hand() -> None:
    [row] = backtest_scores(
        rows((10, 12, 16), (20, 13, None), (30, 30, 34), (None, 5, 5)), "parameter"
    ).to_dicts()
    assert row["n"] == 3
    assert row["mae"] == pytest.approx(3.0)
    assert row["rmse"] == pytest.approx((53 / 3) ** 0.5)
    assert row["bias"] == pytest.approx(5 / 3)
    assert row["mae_persistence"] == pytest.approx(4.0)
    assert row["skill"] == pytest.approx(1 - 1.0 / 4.0)
    assert (row["coverage_80"], row["coverage_95"]) == (pytest.approx(2 / 3), 1.0)
    # Ten wide; the one below by two costs ten times that.
    assert row["interval_score_80"] == pytest.approx(10 + 20 / 3)


def test_a_persistence_that_never_errs_leaves_no_skill() -> None:
    assert backtest_scores(rows((10, 12, 12)), "horizon")["skill"].to_list() == [None]
