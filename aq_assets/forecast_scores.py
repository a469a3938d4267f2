"""Scores of a network's forecasts, by the UTC day on which they were issued."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.common import (
    FILES,
    ONE_RUN,
    PLATFORM,
    TABLES,
    Progress,
    daily_partitions,
    described,
    table_metadata,
    title,
    window_of,
    windows_around,
)
from aq_assets.plots import Line, plot
from aq_resources.io_managers import DayFiles, FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_resources.tables import FORECAST_SCORES, FORECASTS
from aq_science.forecast_scores import REACH_AFTER, REACH_BEFORE, forecast_scores, pooled_scores
from aq_science.windows import Window

_READ = ("network", "station_id", "parameter", "hour", "value", "flag")
_PLOTTED = "pm25"
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
    """``<network>/forecast_scores``: one row a station, parameter, horizon, issue day and mode."""
    forecasts = dg.AssetKey([config.name, "forecasts"])

    @dg.asset(
        **described(
            config,
            "forecast_scores",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            schema=FORECAST_SCORES.schema,
            columns=FORECAST_SCORES.columns,
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
    def scores(context: dg.AssetExecutionContext, hourly_readings: DayFiles) -> FrameStream:
        platform: Platform = getattr(context.resources, PLATFORM)
        window = window_of(context)
        tally = ScoreTally()

        def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
            for part in window.chunks(platform.chunk):
                issued = _forecasts(platform, config.name, part)
                reach = part.padded(before=REACH_BEFORE, after=REACH_AFTER)
                readings = hourly_readings.scan(reach).select(_READ).collect()
                frame = forecast_scores(issued, readings)
                tally.add(part, issued, frame)
                yield part, frame

        return FrameStream(chunks(), day_details, tally.metadata, Progress(context, window))

    return scores


def _forecasts(platform: Platform, network: str, issued_for: Window) -> pl.DataFrame:
    """Forecasts of the window, none where none was ever made."""
    if not platform.warehouse.has_table(network, "forecasts"):
        return FORECASTS.schema.to_frame()
    bounds = (issued_for.start, issued_for.end)
    return platform.warehouse.table(network, "forecasts", FORECASTS, bounds)


def day_details(scores: pl.DataFrame) -> dict[date, dict[str, Any]]:
    """The numbers that the UI plots over days, by day: all stations, horizons and modes."""
    days: dict[date, dict[str, Any]] = {}
    for row in pooled_scores(scores, "date", "parameter").iter_rows(named=True):
        day, parameter = row.pop("date"), row.pop("parameter")
        numbers = {f"{name}_{parameter}": value for name, value in row.items() if value is not None}
        days.setdefault(day, {}).update(numbers)
    return days


class ScoreTally:
    """Counts, a table of the last day and a small plot of what went by."""

    def __init__(self) -> None:
        self.forecasts = 0
        self.scored = 0
        self.days_without_forecasts = 0
        self._last = FORECAST_SCORES.schema.to_frame()
        self._plotted: list[pl.DataFrame] = []

    def add(self, window: Window, forecasts: pl.DataFrame, scores: pl.DataFrame) -> None:
        """Take one chunk of forecasts and their scores into account."""
        self.forecasts += len(forecasts)
        self.scored += int(scores["n"].sum())
        days = forecasts["issued_for"].dt.date().n_unique()
        self.days_without_forecasts += len(window.dates) - days
        if len(scores):
            self._last = scores.filter(pl.col("date") == pl.col("date").max())
        self._plotted.append(pooled_scores(scores.filter(pl.col("parameter") == _PLOTTED), "date"))

    def metadata(self) -> dict[str, Any]:
        """What to show beside the materialization."""
        shown: dict[str, Any] = {}
        plotted = pl.concat(self._plotted) if self._plotted else None
        if plotted is not None and len(plotted):
            days = plotted["date"].to_list()
            lines = [
                Line("forecast", days, plotted["mae"].to_list()),
                Line("persistence", days, plotted["mae_persistence"].to_list()),
            ]
            shown["plot"] = plot("PM2.5, mean absolute error by day of issue", "µg/m³", lines)
        if not self._last.is_empty():
            shown["last_day"] = table_metadata(self._last.select(_SHOWN))
        return shown | {
            "forecasts": self.forecasts,
            "scored": self.scored,
            "not_scored": self.forecasts - self.scored,
            "days_without_forecasts": self.days_without_forecasts,
        }
