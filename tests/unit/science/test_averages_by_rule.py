"""Daily averages by the rules of several regulators, on days worked out by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from aq_science.averages import daily_averages
from aq_science.averages_by_rule import AVERAGING_RULES, averages_by_rule
from aq_science.tables.core import broken_rows
from aq_science.tables.daily_averages_by_rule import DAILY_AVERAGES_BY_RULE, RULES
from tests.factories import MIDNIGHT, hourly, utc

FIRST = MIDNIGHT.date()


def by_rule(readings: pl.DataFrame, zone: str = "UTC", day: date = FIRST) -> dict[str, Any]:
    found = averages_by_rule(readings, {"s1": zone}, (day, day))
    assert found.schema == DAILY_AVERAGES_BY_RULE.schema
    assert all(bad.is_empty() for bad in broken_rows(DAILY_AVERAGES_BY_RULE, found).values())
    return {row["rule"]: row for row in found.iter_rows(named=True)}


def test_every_rule_has_a_row() -> None:
    assert tuple(rule.name for rule in AVERAGING_RULES) == RULES
    assert set(by_rule(hourly([10.0] * 24))) == set(RULES)


def test_in_summer_the_days_differ_by_an_hour() -> None:
    """1 July in Rome: civil from 22:00 to 22:00 UTC, standard from 23:00 to 23:00."""
    values = [float(n) for n in range(72)]
    found = by_rule(hourly(values, utc(2024, 6, 30)), "Europe/Rome", date(2024, 7, 1))
    assert {name: row["mean"] for name, row in found.items()} == {
        "eu_civil_day": 33.5,
        "who_2021": 33.5,
        "eu_standard_day": 34.5,
        "us_epa": 34.5,
    }


def test_the_day_of_the_clock_change() -> None:
    found = by_rule(hourly([5.0] * 72, utc(2024, 3, 30)), "Europe/Rome", date(2024, 3, 31))
    assert {name: row["hours_expected"] for name, row in found.items()} == {
        "eu_civil_day": 23,
        "who_2021": 23,
        "eu_standard_day": 24,
        "us_epa": 24,
    }


@pytest.mark.parametrize(
    ("parameter", "mean", "cut"),
    [("pm25", 35.49, 35.4), ("pm25", 9.1, 9.1), ("pm10", 54.99, 54.0), ("co", 1.2345, 1.2345)],
)
def test_the_epa_truncates(parameter: str, mean: float, cut: float) -> None:
    found = by_rule(hourly([mean] * 24, parameter=parameter))
    assert found["us_epa"]["mean"] == pytest.approx(cut, abs=1e-9)
    assert found["eu_civil_day"]["mean"] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("hours", "value", "valid"),
    [(18, 10.0, True), (17, 10.0, False), (12, 70.1, True), (12, 69.9, False), (1, 900.0, True)],
)
def test_the_epa_counts_what_exceeds_whatever_is_missing(
    hours: int, value: float, *, valid: bool
) -> None:
    found = by_rule(hourly([value] * hours))
    assert found["us_epa"]["valid"] is valid
    assert found["eu_civil_day"]["valid"] is (hours >= 18)


def test_the_rule_of_the_table_of_daily_averages_is_one_of_them() -> None:
    readings = hourly([float(n % 7) for n in range(24)])
    [usual] = daily_averages(readings, {}, (FIRST, FIRST)).to_dicts()
    same = by_rule(readings)["eu_civil_day"]
    assert all(usual[name] == same[name] for name in same if name != "rule")
