"""Checks find what breaks a rule in what is stored."""

from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from aq_assets.checks import build_checks
from aq_assets.describe import SERVICES
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.day_files import parquet_bytes
from aq_science.tables.forecasts import FORECASTS
from tests.factories import DAY, HOUR, MIDNIGHT, forecast_frame, hourly


@pytest.mark.server
def test_the_rules_of_a_table_are_its_checks(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rule of every table is a check; rows on which two of three rules are broken."""
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    config = NetworkConfig(name="airqino", start_date=date(2024, 3, 1), stations=("s1",))
    checks = [c for c in build_checks(config) if c.node_def.name.endswith("forecasts_checks")]
    frame = pl.concat(
        [
            forecast_frame(MIDNIGHT, 12.0)[:1],
            forecast_frame(MIDNIGHT + HOUR, 12.0).with_columns(lower_80=pl.lit(1e6)),
        ]
    )
    with closing(Services(Settings(), {"airqino": config})) as services:
        hours = (MIDNIGHT, MIDNIGHT + 2 * HOUR)
        services.warehouse.replace("airqino", FORECASTS, frame, hours)
        result = dg.materialize(
            checks,
            selection=dg.AssetSelection.all_asset_checks(),
            resources={SERVICES: services},
        )
    found = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert list(found) == [rule.name for rule in FORECASTS.rules]
    bad = {name: e.metadata["bad_rows"].value for name, e in found.items()}
    assert bad == {"finite": 0, "ordered_intervals": 2, "both_horizons": 1}
    assert {name: e.passed for name, e in found.items()} == {n: not b for n, b in bad.items()}
    assert "examples" in found["ordered_intervals"].metadata
    assert found["finite"].metadata["rows"].value == 3


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
    with closing(Services(Settings(), {"airqino": config})) as services:
        services.now = lambda: MIDNIGHT + 12.5 * HOUR
        files = services.files.day_files("airqino", "hourly_readings")
        if newest is not None:
            rows = hourly([1.0, 2.0], newest - HOUR)
            for number in range(days_without + 1):
                day = (newest + number * DAY).date()
                stored = rows if number == 0 else rows.clear()
                services.object_store.put(files.key(day), parquet_bytes(stored))
        result = dg.materialize(
            [check],
            selection=dg.AssetSelection.all_asset_checks(),
            resources={SERVICES: services},
            tags={"dagster/partition": "2024-01-01"},
        )
    (evaluation,) = result.get_asset_check_evaluations()
    assert result.success
    assert evaluation.passed is passes
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert evaluation.metadata["expected_day"].value == "2024-03-01"
    shown = evaluation.metadata["newest_hour"].value
    assert shown == (f"{newest:%Y-%m-%d %H:%M}Z" if newest else "none")
