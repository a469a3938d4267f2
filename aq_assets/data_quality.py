"""How complete and how good a network's hours are, a row a station, parameter and UTC day."""

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.panels import station_names
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of, windows_around
from aq_assets.quality_report import QualityTally, day_details
from aq_assets.stations import known_stations
from aq_assets.stream import chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_science.data_quality import data_quality
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.windows import DAY, Window

# What the pictures show, up to the run's last day.
REPORTED = 28 * DAY


def build_data_quality(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/data_quality`: hours by flag and quality test."""

    @asset(
        **described(
            config,
            "data_quality",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=DATA_QUALITY,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            "hourly_readings": dg.AssetIn(
                [config.name, "hourly_readings"],
                partition_mapping=windows_around(0, 0),
                input_manager_key=FILES,
            )
        },
        deps=[dg.AssetKey([config.name, "stations"])],
        description=(
            f"How many hours of {title(config)} came on each UTC day, what the quality tests "
            "found, and what was revised; with a calendar of the last weeks."
        ),
    )
    def quality(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        hourly_readings: DayFiles,
    ) -> FrameStream:
        stations = known_stations(context, config, services)
        asked = window_of(context)
        recent = DATA_QUALITY.bounds(Window(asked.end - REPORTED, asked.end))

        def count(days: Window) -> pl.DataFrame:
            readings = hourly_readings.scan(days).collect()
            return data_quality(readings, stations, days, config.name)

        tally = QualityTally(
            title(config),
            station_names(stations),
            lambda: services.warehouse.rows(config.name, DATA_QUALITY, recent),
        )
        return chunked(context, services.chunk, count, tally, day_details)

    return quality
