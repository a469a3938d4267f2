"""Scores of a network's forecasts, by the UTC day on which they were issued."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.metadata import rounded, unit_key
from aq_assets.panels import axis_label
from aq_assets.partitions import ONE_RUN, daily_partitions, windows_around
from aq_assets.plots import Line, Panel, plot
from aq_assets.stations import names_of_stations
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_science.forecasting.scores import (
    REACH_AFTER,
    REACH_BEFORE,
    forecast_scores,
    pooled_scores,
)
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.forecasts import FORECASTS
from aq_science.windows import Window

_READ = ("network", "station_id", "parameter", "hour", "value", "flag")
_SHOWN = (
    "station_id",
    "parameter",
    "horizon",
    "date",
    "mode",
    "n",
    "mae",
    "bias",
    "mae_persistence",
    "skill",
    "coverage_80",
    "coverage_95",
)


def build_forecast_scores(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/forecast_scores`: one row a station, parameter, horizon, issue day and mode."""
    forecasts = dg.AssetKey([config.name, "forecasts"])

    @dg.asset(
        **described(
            config,
            "forecast_scores",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=FORECAST_SCORES,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            "hourly_readings": dg.AssetIn(
                [config.name, "hourly_readings"],
                partition_mapping=windows_around(1, 1),
                input_manager_key=FILES,
            )
        },
        # Read in chunks by the asset itself: an IO manager would load the whole range at once.
        deps=[dg.AssetDep(forecasts, partition_mapping=windows_around(0, 0))],
        description=(
            f"Forecasts of {title(config)} against the readings that then came, by the UTC day of "
            "issue: errors, skill over persistence, coverage of the intervals."
        ),
    )
    def scores(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        hourly_readings: DayFiles,
    ) -> FrameStream:
        tally = ScoreTally(names_of_stations(services, config.name))

        def score(days: Window) -> pl.DataFrame:
            issued = services.warehouse.rows(config.name, FORECASTS, FORECASTS.bounds(days))
            tally.count_issued(days, issued)
            reach = days.padded(before=REACH_BEFORE, after=REACH_AFTER)
            return forecast_scores(issued, hourly_readings.scan(reach).select(_READ).collect())

        return chunked(context, services.chunk, score, tally, day_details)

    return scores


def day_details(scores: pl.DataFrame) -> dict[date, dict[str, Any]]:
    """The numbers that the UI plots over days, by day: all stations, horizons and modes."""
    days: dict[date, dict[str, Any]] = {}
    for row in pooled_scores(scores, "date", "parameter").iter_rows(named=True):
        day, parameter = row.pop("date"), row.pop("parameter")
        numbers = {
            _key(name, parameter): rounded(value) if isinstance(value, float) else value
            for name, value in row.items()
            if value is not None
        }
        days.setdefault(day, {}).update(numbers)
    return days


def _key(name: str, parameter: str) -> str:
    key = f"{name}_{parameter}"
    return unit_key(key, parameter) if name.startswith("mae") else key


class ScoreTally(Tally):
    """How many forecasts were scored, PM2.5's errors over the run and the last day's scores."""

    newest_by = "date"

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        super().__init__(names)
        self.forecasts = 0
        self.scored = 0
        self.days_without_forecasts = 0

    def count_issued(self, window: Window, forecasts: pl.DataFrame) -> None:
        """Count the forecasts that were issued in a chunk, and its days without any."""
        self.forecasts += len(forecasts)
        days = forecasts["issued_for"].dt.date().n_unique()
        self.days_without_forecasts += len(window.dates) - days

    def count(self, frame: pl.DataFrame) -> None:
        self.scored += int(frame["n"].sum())

    def counts(self) -> dict[str, Any]:
        return {
            "forecasts": self.forecasts,
            "scored": self.scored,
            "not_scored": self.forecasts - self.scored,
            "days_without_forecasts": self.days_without_forecasts,
        }

    def points(self, frame: pl.DataFrame) -> pl.DataFrame:
        return pooled_scores(frame.filter(pl.col("parameter") == "pm25"), "date")

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:
        if points.is_empty():
            return {}
        days = points["date"].to_list()
        lines = [
            Line("forecast", days, points["mae"].to_list()),
            Line("persistence", days, points["mae_persistence"].to_list()),
        ]
        shown = [Panel(axis_label("pm25"), lines)]
        return {"plot": plot("PM2.5, mean absolute error by day of issue", shown)}

    def tables(self) -> dict[str, pl.DataFrame]:
        return {"last_day": self.newest.select(_SHOWN)}
