"""Days and years above limits."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from aq_science.limits import EU_2008, EU_2030, LIMITS, WHO_2021, exceedances
from aq_science.tables.core import broken_rows
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.exceedances import EXCEEDANCES, METRICS, STANDARDS

FIRST = date(2025, 1, 1)
COLUMNS = ("network", "station_id", "parameter", "date", "mean", "max_8h_mean", "valid")


def days(
    means: list[float],
    parameter: str = "pm25",
    *,
    longest: float | None = None,
    valid: bool = True,
    station: str = "s1",
) -> pl.DataFrame:
    rows = [
        ("n", station, parameter, FIRST + timedelta(days=n), mean, longest, valid)
        for n, mean in enumerate(means)
    ]
    schema = pl.Schema({name: DAILY_AVERAGES.schema[name] for name in COLUMNS})
    return pl.DataFrame(rows, schema=schema, orient="row")


def row(frame: pl.DataFrame, standard: str, metric: str) -> dict[str, Any]:
    [found] = frame.filter(pl.col("standard") == standard, pl.col("metric") == metric).to_dicts()
    return found


def test_days_above_a_level_are_counted() -> None:
    found = exceedances(days([15.0] * 300 + [15.1] * 4 + [60.0] * 61))
    who = row(found, WHO_2021, "daily_mean")
    assert (who["days_valid"], who["days_over"], who["days_allowed"]) == (365, 65, 3)
    assert (who["level"], who["unit"], who["exceeded"]) == (15.0, "µg/m³", True)
    assert row(found, EU_2030, "daily_mean")["days_over"] == 61


@pytest.mark.parametrize(("over", "exceeded"), [(35, False), (36, True)])
def test_as_many_days_as_allowed_are_no_breach(over: int, exceeded: bool) -> None:
    found = exceedances(days([50.1] * over + [20.0] * 300, "pm10"))
    assert row(found, EU_2008, "daily_mean")["exceeded"] is exceeded


def test_a_year_with_too_few_days_has_no_verdict() -> None:
    enough = exceedances(days([26.0] * 329))
    assert row(enough, EU_2008, "annual_mean")["exceeded"] is True
    few = row(exceedances(days([26.0] * 328)), EU_2008, "annual_mean")
    assert few["exceeded"] is None
    assert few["annual_mean"] == pytest.approx(26.0)
    assert few["data_capture"] == pytest.approx(328 / 365)
    assert few["days_over"] is None


def test_a_day_that_is_not_valid_does_not_count() -> None:
    found = row(exceedances(days([99.0] * 10, valid=False)), WHO_2021, "daily_mean")
    assert (found["days_valid"], found["days_over"], found["exceeded"]) == (0, 0, False)


def test_running_means_are_judged_by_themselves() -> None:
    found = exceedances(days([1.0] * 10, "co", longest=10.5))
    assert row(found, EU_2008, "max_8h_mean")["exceeded"] is True
    assert row(found, WHO_2021, "daily_mean")["exceeded"] is False


def test_what_has_no_limit_has_no_row() -> None:
    found = exceedances(pl.concat([days([9.0] * 3, "humidity"), days([9.0] * 3, "no2")]))
    assert set(found["parameter"]) == {"no2"}


def test_years_and_stations_are_apart() -> None:
    both = pl.concat([days([16.0] * 400), days([1.0] * 5, station="s2")])
    found = exceedances(both).filter(
        pl.col("standard") == WHO_2021, pl.col("metric") == "daily_mean"
    )
    assert found.select("station_id", "year", "days_over").rows() == [
        ("s1", 2025, 365),
        ("s1", 2026, 35),
        ("s2", 2025, 0),
    ]
    assert all(bad.is_empty() for bad in broken_rows(EXCEEDANCES, exceedances(both)).values())


def test_nothing_is_nothing() -> None:
    assert exceedances(days([])).schema == EXCEEDANCES.schema


def test_every_limit_is_declared() -> None:
    assert {limit.standard for limit in LIMITS} == set(STANDARDS)
    assert {limit.metric for limit in LIMITS} == set(METRICS)
    keys = [(limit.standard, limit.parameter, limit.metric) for limit in LIMITS]
    assert len(set(keys)) == len(keys)
