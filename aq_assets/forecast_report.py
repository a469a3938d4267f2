"""The standing record of how good a network's forecasts were, by month."""

from datetime import date

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import TABLES, described, title
from aq_assets.metadata import named, table_metadata
from aq_assets.stations import names_of_stations
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_science.forecasting.scores import forecast_report
from aq_science.tables.forecast_report import FORECAST_REPORT
from aq_science.tables.forecast_scores import FORECAST_SCORES_BY_MODEL
from aq_science.windows import DAY

# Rows of the last month that the UI shows.
_SHOWN = 200


def build_forecast_report(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/forecast_report`: one row a station, parameter, horizon, month, model and mode."""
    daily = FORECAST_SCORES_BY_MODEL

    @asset(
        **described(
            config,
            FORECAST_REPORT.name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=FORECAST_REPORT,
        ),
        deps=[dg.AssetKey([config.name, daily.name])],
        description=(
            f"How good the forecasts of {title(config)} were: errors, skill over persistence, "
            "coverage and scores of the intervals by station, horizon, month and model."
        ),
    )
    def report(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> pl.DataFrame:
        warehouse = services.warehouse
        months = warehouse.read(
            f"SELECT DISTINCT date_trunc('month', date)::DATE AS month "
            f"FROM {config.name}.{daily.name} ORDER BY month"
        )["month"]
        # A month at a time, which bounds memory.
        parts = [
            forecast_report(warehouse.rows(config.name, daily, (month, _following(month))))
            for month in months
        ]
        rows = pl.concat([FORECAST_REPORT.schema.to_frame(), *parts])
        last = rows.filter(pl.col("month") == pl.col("month").max()).drop("network")
        shown = named(last, names_of_stations(services, config.name))
        context.add_output_metadata(
            {"months": len(months), "last_month": table_metadata(shown, _SHOWN)}
        )
        return rows

    return report


def _following(month: date) -> date:
    return (month + 31 * DAY).replace(day=1)
