"""The drift alarm: a check on whether the forecasts are as good as they were."""

import dagster as dg
import polars as pl

from aq_assets.declare import asset_check
from aq_assets.metadata import table_metadata
from aq_assets.panels import SHOWN
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_science.forecasting.drift import (
    BEFORE_DAYS,
    COVERAGE_BAND,
    MOST_SKILL_LOST,
    RECENT_DAYS,
    compared_days,
    forecast_drift,
)
from aq_science.tables.forecast_scores import FORECAST_SCORES

NO_DRIFT = "no_drift"
TO_DO = (
    "Compare stations and models in forecast_report. One station: see data_quality and revisions "
    "for a sensor that has changed. All of them: materialize forecast_models of today, and see "
    "in its metadata what is served and why."
)


def build_drift_check(config: NetworkConfig) -> dg.AssetChecksDefinition:
    """`no_drift` on `<network>/forecast_scores`."""
    low, high = COVERAGE_BAND

    @asset_check(
        asset=dg.AssetKey([config.name, FORECAST_SCORES.name]),
        name=NO_DRIFT,
        description=(
            f"Of each parameter and horizon, the skill of the last {RECENT_DAYS} days is at most "
            f"{MOST_SKILL_LOST} below that of the {BEFORE_DAYS} before, and their 80 % intervals "
            f"held {low:.0%} to {high:.0%} of the readings. Looks at the last days, whatever the "
            "run's days."
        ),
    )
    def no_drift(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
        today = services.now().date()
        scores = services.warehouse.rows(config.name, FORECAST_SCORES, compared_days(today))
        found = forecast_drift(scores, today)
        message = drift_message(found)
        return dg.AssetCheckResult(
            passed=message is None,
            # What was forecast stands, and the next forecasts are no worse for being made.
            severity=dg.AssetCheckSeverity.WARN,
            description=message,
            metadata={"last_days": table_metadata(found)},
        )

    return no_drift


def drift_message(found: pl.DataFrame) -> str | None:
    """What `forecast_drift` is alarmed at, and what to do about it; None for nothing."""
    alarms = [
        f"{SHOWN.get(parameter, parameter)}, {horizon} h ahead: {alarm}."
        for parameter, horizon, alarm in found.select("parameter", "horizon", "alarm").iter_rows()
        if alarm is not None
    ]
    return " ".join([*alarms, TO_DO]) if alarms else None
