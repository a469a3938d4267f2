"""Scores of a network's forecasts, by the UTC day on which they were issued."""

from collections.abc import Callable

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of, windows_around
from aq_assets.score_report import REPORTED, ScorePictures, ScoreTally, day_details
from aq_assets.stations import names_of_stations
from aq_assets.stream import DayDetails, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_science.forecasting.scores import REACH_AFTER, REACH_BEFORE, forecast_scores
from aq_science.tables.core import Table
from aq_science.tables.forecast_scores import FORECAST_SCORES, FORECAST_SCORES_BY_MODEL
from aq_science.tables.forecasts import FORECASTS
from aq_science.windows import Window

_READ = ("network", "station_id", "parameter", "hour", "value", "flag")


def build_forecast_scores(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/forecast_scores`: one row a station, parameter, horizon, issue day and mode."""

    def pictures(services: Services, asked: Window) -> ScoreTally:
        recent = FORECAST_SCORES.bounds(Window(asked.end - REPORTED, asked.end))
        return ScorePictures(
            names_of_stations(services, config.name),
            lambda: services.warehouse.rows(config.name, FORECAST_SCORES, recent),
        )

    text = (
        f"Forecasts of {title(config)} against the readings that then came, by the UTC day of "
        "issue: errors, skill over persistence, coverage and scores of the intervals."
    )
    return _build(config, FORECAST_SCORES, text, pictures, day_details)


def build_forecast_scores_by_model(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/forecast_scores_by_model`: the same, a row each model that was served."""

    def tally(services: Services, _asked: Window) -> ScoreTally:
        return ScoreTally(names_of_stations(services, config.name))

    text = f"Scores of the forecasts of {title(config)} by the UTC day of issue and by model."
    return _build(config, FORECAST_SCORES_BY_MODEL, text, tally, lambda scores: {})


def _build(
    config: NetworkConfig,
    table: Table,
    description: str,
    make_tally: Callable[[Services, Window], ScoreTally],
    details: DayDetails,
) -> dg.AssetsDefinition:
    forecasts = dg.AssetKey([config.name, "forecasts"])

    @asset(
        **described(config, table.name, io_manager=TABLES, kinds={"duckdb", "polars"}, table=table),
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
        description=description,
    )
    def scores(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        hourly_readings: DayFiles,
    ) -> FrameStream:
        tally = make_tally(services, window_of(context))

        def score(days: Window) -> pl.DataFrame:
            issued = services.warehouse.rows(config.name, FORECASTS, FORECASTS.bounds(days))
            tally.count_issued(days, issued)
            reach = days.padded(before=REACH_BEFORE, after=REACH_AFTER)
            readings = hourly_readings.scan(reach).select(_READ).collect()
            return forecast_scores(issued, readings, table)

        return chunked(context, services.chunk, score, tally, details)

    return scores
