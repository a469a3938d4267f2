"""The tables' own rules find the rows that break them, and only those."""

from datetime import date

import polars as pl
import pytest

from aq_science.forecasting.scores import forecast_scores
from aq_science.parameters import PARAMETERS
from aq_science.tables.core import Table, broken_rows
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.raw_pulls import RAW_PULLS
from aq_science.tables.registry import REFERENCE_VIEWS, WAREHOUSE_TABLES, WAREHOUSE_VIEWS
from tests.factories import HOUR, MIDNIGHT, daily_frame, forecast_frame, hourly

DECLARED = WAREHOUSE_TABLES | WAREHOUSE_VIEWS | REFERENCE_VIEWS
TABLES = [*DECLARED.values(), FORECAST_MODELS, RAW_PULLS]


def broken_by(table: Table, frame: pl.DataFrame) -> dict[str, int]:
    """Rows by the rule that they break; only what the table says is read is there to look at."""
    found = broken_rows(table, frame.select(table.read_by_rules))
    assert list(found) == [rule.name for rule in table.rules]
    return {name: len(bad) for name, bad in found.items() if len(bad)}


def broken(frame: pl.DataFrame) -> dict[str, int]:
    return broken_by(HOURLY_READINGS, frame)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_has_its_key_and_a_text_for_every_column(table: Table) -> None:
    assert set(table.key) <= set(table.schema)
    assert len(table.schema) == len(table.columns)
    assert all(column.text for column in table.columns)
    assert all(rule.text for rule in table.rules)
    assert table.window is None or table.window in table.schema


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_rule_runs_on_no_rows(table: Table) -> None:
    assert broken_by(table, table.schema.to_frame()) == {}


def good() -> pl.DataFrame:
    """Every parameter at both ends of its range."""
    return pl.concat(
        [
            hourly([float(p.fail[0]), float(p.fail[1])], parameter=p.name)
            for p in PARAMETERS.values()
        ]
    )


def test_good_rows_pass() -> None:
    assert broken(good()) == {}
    assert broken(good().clear()) == {}


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("side", [0, 1], ids=["below", "above"])
def test_valid_value_out_of_range_is_found(parameter: str, side: int) -> None:
    beyond = PARAMETERS[parameter].fail[side] + (1 if side else -1)
    bad = hourly([beyond], parameter=parameter, station="s2")
    assert broken(pl.concat([good(), bad])) == {"plausible_ranges": 1}


@pytest.mark.parametrize("flag", ["suspect", "invalid"])
def test_flagged_value_may_be_anything(flag: str) -> None:
    assert broken(hourly([99_999.0], flag=flag)) == {}


def test_valid_row_without_a_value_is_found() -> None:
    frame = hourly([1.0]).with_columns(value=pl.lit(None, pl.Float64))
    assert broken(frame) == {"plausible_ranges": 1}


def test_hour_given_twice_is_found() -> None:
    assert broken(pl.concat([good(), good()[:1]])) == {"unique_hours": 2}


def test_stamp_off_the_hour_is_found() -> None:
    frame = good().with_columns(pl.col("hour") + pl.duration(minutes=20))
    assert broken(frame) == {"unique_hours": len(frame)}


def test_unit_that_is_not_canonical_is_found() -> None:
    frame = hourly([1.0], parameter="co")
    other = frame.with_columns(unit=pl.lit("µg/m³").cast(frame.schema["unit"]))
    assert broken(other) == {"canonical_unit": 1}


DAYS = (date(2024, 3, 1), date(2024, 3, 2))


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, {}),
        ({"hours_valid": -1}, {"consistent_completeness": 2}),
        ({"hours_valid": 24, "hours_present": 23}, {"consistent_completeness": 2}),
        ({"hours_present": 25}, {"consistent_completeness": 2}),
        ({"hours_expected": 22}, {"consistent_completeness": 2}),
        ({"valid": False}, {"consistent_completeness": 2}),
        ({"valid": None}, {"consistent_completeness": 2}),
        ({"hours_valid": 17}, {"consistent_completeness": 2}),
        ({"hours_valid": 17, "valid": False}, {}),
        ({"hours_valid": 18}, {}),
    ],
    ids=str,
)
def test_days_that_cannot_be_are_found(
    changed: dict[str, int | bool | None], found: dict[str, int]
) -> None:
    whole = {"hours_valid": 24, "hours_present": 24, "hours_expected": 24, "valid": True}
    values = [
        pl.lit(value, DAILY_AVERAGES.schema[name]).alias(name)
        for name, value in (whole | changed).items()
    ]
    assert broken_by(DAILY_AVERAGES, daily_frame(*DAYS).with_columns(values)) == found


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, {}),
        ({"value": None}, {"finite": 2}),
        (
            {"value": float("nan"), "model": "no_valid_readings"},
            {"finite": 2, "ordered_intervals": 2},
        ),
        ({"value": None, "model": "no_valid_readings"}, {}),
        ({"lower_80": 1e6}, {"ordered_intervals": 2}),
        ({"upper_80": -1e6}, {"ordered_intervals": 2}),
        ({"upper_95": -1e6}, {"ordered_intervals": 2}),
        ({"lower_95": None, "upper_95": None}, {}),
        ({"horizon": 1}, {"both_horizons": 2}),
        ({"horizon": 2}, {"both_horizons": 2}),
    ],
    ids=str,
)
def test_forecasts_that_cannot_be_are_found(
    changed: dict[str, float | str | None], found: dict[str, int]
) -> None:
    values = [pl.lit(v, FORECASTS.schema[name]).alias(name) for name, v in changed.items()]
    frame = forecast_frame(MIDNIGHT, 12.0).with_columns(values)
    assert len(frame) == 2
    assert broken_by(FORECASTS, frame) == found


def test_a_horizon_alone_is_found() -> None:
    frame = forecast_frame(MIDNIGHT, 12.0)
    later = forecast_frame(MIDNIGHT + HOUR, 12.0)
    assert broken_by(FORECASTS, pl.concat([frame[:1], later])) == {"both_horizons": 1}


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, set()),
        ({"n": 0}, {"consistent_errors"}),
        ({"rmse": 1.0}, {"consistent_errors"}),
        ({"bias": -3.0}, {"consistent_errors"}),
        ({"mae": None}, {"consistent_errors"}),
        ({"mae_persistence": -1.0}, {"consistent_errors"}),
        ({"skill": 1.5}, {"consistent_errors"}),
        ({"mae_persistence": None, "skill": None}, set()),
        ({"coverage_80": -0.1}, {"consistent_coverage"}),
        ({"coverage_95": 0.2}, {"consistent_coverage"}),
        ({"coverage_95": 1.1}, {"consistent_coverage"}),
        ({"coverage_95": None}, {"consistent_coverage"}),
        ({"n_persistence": 3}, {"consistent_errors"}),
        ({"n_persistence": None}, set()),
        ({"interval_score_80": -0.1}, {"consistent_losses"}),
        ({"interval_score_95": -0.1}, {"consistent_losses"}),
        ({"pinball": 0.1}, {"consistent_losses"}),
        ({"interval_score_80": None, "interval_score_95": None, "pinball": None}, set()),
    ],
    ids=str,
)
def test_scores_that_cannot_be_are_found(
    changed: dict[str, float | None], failed: set[str]
) -> None:
    issued = pl.concat([forecast_frame(MIDNIGHT + n * HOUR, 12.0) for n in range(2)])
    # Errors 2 and 1: mae 1.5.
    good = forecast_scores(issued, hourly([9.0, 10.0, 11.0], MIDNIGHT - HOUR))
    values = [pl.lit(v, FORECAST_SCORES.schema[name]).alias(name) for name, v in changed.items()]
    assert set(broken_by(FORECAST_SCORES, good.with_columns(values))) == failed
