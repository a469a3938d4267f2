"""Drift: what the last week is compared with, what is alarming, and what is too little to tell."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from aq_science.forecasting.drift import (
    COVERAGE_BAND,
    LEAST_FORECASTS,
    MOST_SKILL_LOST,
    compared_days,
    forecast_drift,
)
from aq_science.tables.forecast_scores import FORECAST_SCORES

TODAY = date(2024, 3, 20)


def days(first: int, last: int, **columns: Any) -> pl.DataFrame:
    """Scores of the days that lie so many days back, both included."""
    default = {
        "network": "airqino",
        "station_id": "s1",
        "parameter": "pm25",
        "horizon": 1,
        "mode": "live",
        "n": 24,
        "mae": 3.0,
        "rmse": 4.0,
        "bias": 1.0,
        "mae_persistence": 4.0,
        "skill": 0.25,
        "coverage_80": 0.8,
        "coverage_95": 0.95,
        "n_persistence": 24,
    }
    rows = [
        {**default, "date": TODAY - timedelta(days=back), **columns}
        for back in range(first, last + 1)
    ]
    return pl.DataFrame(rows, schema=FORECAST_SCORES.schema, orient="row")


def alarm(*scores: pl.DataFrame) -> str | None:
    found = forecast_drift(pl.concat(scores), TODAY)
    assert len(found) == 1
    text: str | None = found["alarm"][0]
    return text


def test_nothing_has_changed() -> None:
    found = forecast_drift(days(1, 35), TODAY)
    assert found.rows(named=True) == [
        {
            "parameter": "pm25",
            "horizon": 1,
            "n": 7 * 24,
            "skill": pytest.approx(0.25),
            "coverage_80": pytest.approx(0.8),
            "n_before": 28 * 24,
            "skill_before": pytest.approx(0.25),
            "alarm": None,
        }
    ]


def test_the_last_week_ends_with_yesterday() -> None:
    """The day in progress, and what is older than five weeks, change nothing."""
    beside = [days(0, 0, skill=-9.0, coverage_80=0.0), days(36, 90, skill=0.99)]
    assert forecast_drift(pl.concat([days(1, 35), *beside]), TODAY).equals(
        forecast_drift(days(1, 35), TODAY)
    )
    first, end = compared_days(TODAY)
    assert (first, end) == (date(2024, 2, 14), TODAY)


def test_lost_skill_is_alarming() -> None:
    before = days(8, 35, skill=0.2)
    assert alarm(days(1, 7, skill=0.2 - MOST_SKILL_LOST + 0.01), before) is None
    assert alarm(days(1, 7, skill=-0.1), before) == (
        "skill over persistence fell from 0.2 in 28 days to -0.1 in the last 7"
    )
    # To become better is none.
    assert alarm(days(1, 7, skill=0.9), before) is None


@pytest.mark.parametrize("share", COVERAGE_BAND)
def test_intervals_that_hold_too_little_or_too_much_are_alarming(share: float) -> None:
    outwards = 0.01 if share > 0.8 else -0.01
    inside, outside = share - outwards, share + outwards
    assert alarm(days(1, 7, coverage_80=inside, coverage_95=1.0)) is None
    text = alarm(days(1, 7, coverage_80=outside, coverage_95=1.0))
    assert text == (
        f"the 80 % interval held {100 * outside:.1f} % of the last 7 days' readings "
        "(65 to 92 % is usual)"
    )


def test_both_are_said() -> None:
    text = alarm(days(1, 7, skill=-0.5, coverage_80=0.3), days(8, 35))
    assert text is not None
    assert text.startswith("skill over persistence fell")
    assert "; the 80 % interval held 30.0 %" in text


def test_too_few_forecasts_say_nothing() -> None:
    bad = {"skill": -5.0, "coverage_80": 0.1}
    few = (LEAST_FORECASTS - 1) // 7
    assert alarm(days(1, 7, n=few, n_persistence=few, **bad), days(8, 35)) is None
    # A new platform has no weeks before.
    assert alarm(days(1, 7, skill=-5.0), days(8, 20)) is None
    assert alarm(days(1, 7, skill=-5.0)) is None
    assert alarm(days(1, 7, skill=None, mae_persistence=0.0), days(8, 35)) is None


def test_each_parameter_and_horizon_by_itself() -> None:
    good = [days(1, 35, horizon=2), days(1, 35, parameter="co")]
    found = forecast_drift(pl.concat([*good, days(1, 7, skill=-0.5), days(8, 35)]), TODAY)
    assert found.filter(pl.col("alarm").is_not_null()).select("parameter", "horizon").rows() == [
        ("pm25", 1)
    ]
    assert len(found) == 3


def test_without_recent_scores_there_is_no_row() -> None:
    assert forecast_drift(days(8, 35), TODAY).is_empty()
    assert forecast_drift(FORECAST_SCORES.schema.to_frame(), TODAY).is_empty()
