"""Checks find the rows that break a rule, and only those."""

from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from aq_assets.checks import bad_readings, build_checks
from aq_assets.common import PLATFORM
from aq_resources.io_managers import parquet_bytes
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_resources.settings import Settings
from aq_resources.tables import FORECAST_SCORES
from aq_science.forecast_scores import forecast_scores
from aq_science.parameters import PARAMETERS
from tests.factories import DAY, HOUR, MIDNIGHT, forecast_frame, hourly

READ = ["network", "station_id", "parameter", "hour", "value", "unit", "flag"]


def good() -> pl.DataFrame:
    """Every parameter at both ends of its range."""
    return pl.concat(
        [
            hourly([float(p.fail[0]), float(p.fail[1])], parameter=p.name)
            for p in PARAMETERS.values()
        ]
    ).select(READ)


def broken(frame: pl.DataFrame) -> dict[str, int]:
    return {name: len(bad) for name, bad in bad_readings(frame).items() if len(bad)}


def test_good_rows_pass() -> None:
    assert broken(good()) == {}
    assert broken(good().clear()) == {}


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("side", [0, 1], ids=["below", "above"])
def test_valid_value_out_of_range_is_found(parameter: str, side: int) -> None:
    beyond = PARAMETERS[parameter].fail[side] + (1 if side else -1)
    bad = hourly([beyond], parameter=parameter, station="s2").select(READ)
    assert broken(pl.concat([good(), bad])) == {"plausible_ranges": 1}


@pytest.mark.parametrize("flag", ["suspect", "invalid"])
def test_flagged_value_may_be_anything(flag: str) -> None:
    assert broken(hourly([99_999.0], flag=flag).select(READ)) == {}


def test_valid_row_without_a_value_is_found() -> None:
    frame = hourly([1.0]).with_columns(value=pl.lit(None, pl.Float64)).select(READ)
    assert broken(frame) == {"plausible_ranges": 1}


def test_hour_given_twice_is_found() -> None:
    assert broken(pl.concat([good(), good()[:1]])) == {"unique_hours": 2}


def test_stamp_off_the_hour_is_found() -> None:
    frame = good().with_columns(pl.col("hour") + pl.duration(minutes=30))
    assert broken(frame) == {"unique_hours": len(frame)}


def test_unit_that_is_not_canonical_is_found() -> None:
    frame = hourly([1.0], parameter="co").select(READ)
    other = frame.with_columns(unit=pl.lit("µg/m³").cast(frame.schema["unit"]))
    assert broken(other) == {"canonical_unit": 1}


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
    ],
    ids=str,
)
def test_scores_that_cannot_be_are_found(
    clean_environment: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, float | None],
    failed: set[str],
) -> None:
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    config = NetworkConfig(name="airqino", start_date=date(2024, 3, 1), stations=("s1",))
    checks = [c for c in build_checks(config) if "forecast_scores" in c.node_def.name]
    issued = pl.concat([forecast_frame(MIDNIGHT + n * HOUR, 12.0) for n in range(2)])
    # Errors 2 and 1: mae 1.5.
    good = forecast_scores(issued, hourly([9.0, 10.0, 11.0], MIDNIGHT - HOUR))
    values = [pl.lit(v, FORECAST_SCORES.schema[name]).alias(name) for name, v in changed.items()]
    with closing(Platform(Settings(), {"airqino": config})) as platform:
        scores = good.with_columns(values)
        days = (MIDNIGHT.date(), (MIDNIGHT + DAY).date())
        platform.warehouse.replace("airqino", "forecast_scores", FORECAST_SCORES, scores, days)
        result = dg.materialize(
            checks,
            selection=dg.AssetSelection.all_asset_checks(),
            resources={PLATFORM: platform},
        )
    evaluations = result.get_asset_check_evaluations()
    assert {e.check_name for e in evaluations} == {"consistent_errors", "consistent_coverage"}
    assert {e.check_name for e in evaluations if not e.passed} == failed


@pytest.mark.parametrize(
    ("newest", "days_without", "passes"),
    [
        pytest.param(MIDNIGHT + 6 * HOUR, 0, True, id="recent"),
        pytest.param(MIDNIGHT + 5 * HOUR, 0, False, id="old"),
        pytest.param(MIDNIGHT - 30 * DAY, 0, False, id="backfill-of-old-days"),
        pytest.param(MIDNIGHT - 20 * HOUR, 1, False, id="today-has-no-value"),
        pytest.param(None, 0, False, id="nothing-yet"),
    ],
)
def test_the_newest_hour_counts_whatever_the_days_of_the_run(
    clean_environment: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    newest: datetime | None,
    days_without: int,
    passes: bool,
) -> None:
    """At 12:30, with six hours allowed: the hour from 06:00 to 07:00 will just do until 13:00."""
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    config = NetworkConfig(name="airqino", start_date=date(2024, 1, 1), stations=("s1",))
    (check,) = [c for c in build_checks(config) if "newest_hour" in c.node_def.name]
    with closing(Platform(Settings(), {"airqino": config})) as platform:
        platform.now = lambda: MIDNIGHT + 12.5 * HOUR
        files = platform.files.day_files("airqino", "hourly_readings")
        if newest is not None:
            rows = hourly([1.0, 2.0], newest - HOUR)
            for number in range(days_without + 1):
                day = (newest + number * DAY).date()
                stored = rows if number == 0 else rows.clear()
                platform.object_store.put(files.key(day), parquet_bytes(stored))
        result = dg.materialize(
            [check],
            selection=dg.AssetSelection.all_asset_checks(),
            resources={PLATFORM: platform},
            tags={"dagster/partition": "2024-01-01"},
        )
    (evaluation,) = result.get_asset_check_evaluations()
    assert result.success
    assert evaluation.passed is passes
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert evaluation.metadata["expected_day"].value == "2024-03-01"
    shown = evaluation.metadata["newest_hour"].value
    assert shown == (f"{newest:%Y-%m-%d %H:%M}Z" if newest else "none")
