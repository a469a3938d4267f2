"""Why hours of a network have no valid value, a row a run of hours."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.freshness import allowed_silence
from aq_assets.panels import station_names
from aq_assets.partitions import ONE_RUN, daily_partitions, windows_around
from aq_assets.stations import known_stations
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.answered import answered_windows
from aq_resources.stores.day_files import DayFiles
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.gaps import expected_hours, gaps, hour_causes
from aq_science.tables.gaps import GAPS
from aq_science.windows import Window


def build_gaps(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/gaps`: one row a station, parameter and run of hours without a valid value."""

    @asset(
        **described(config, "gaps", io_manager=TABLES, kinds={"duckdb", "polars"}, table=GAPS),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            name: dg.AssetIn(
                [config.name, name], partition_mapping=windows_around(0, 0), input_manager_key=FILES
            )
            for name in ("hourly_readings", "raw_pulls")
        },
        deps=[dg.AssetKey([config.name, "stations"])],
        description=(
            f"Why hours of {title(config)} have no valid value: the source was silent, the pull "
            "failed, quality tests rejected the value, ... Hours in no row have a valid one."
        ),
    )
    def network_gaps(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        hourly_readings: DayFiles,
        raw_pulls: RawPullStore,
    ) -> FrameStream:
        stations = known_stations(context, config, services)
        due = services.now() - allowed_silence(config)

        def explain(days: Window) -> pl.DataFrame:
            readings = hourly_readings.scan(days).collect()
            causes = hour_causes(
                expected_hours(stations, readings, days),
                readings,
                answered(raw_pulls, stations, readings, days),
                stations,
                due,
            )
            return gaps(causes, config.name)

        return chunked(context, services.chunk, explain, GapTally(station_names(stations)))

    return network_gaps


def answered(
    pulls: RawPullStore, stations: pl.DataFrame, readings: pl.DataFrame, window: Window
) -> pl.DataFrame:
    """The windows of the answers that are stored over a window.

    Args:
        pulls: The network's raw pulls.
        stations: Its `STATIONS`.
        readings: `HOURLY_READINGS`, which say whose each sensor is.
        window: Whole UTC days.

    Returns:
        `ANSWERED_SCHEMA`; files that are damaged answer nothing.
    """
    names = {str(name): str(name) for name in stations["station_id"]}
    sensors = readings.select("sensor_id", "station_id").unique().drop_nulls()
    names |= {str(sensor): str(station) for sensor, station in sensors.iter_rows()}
    damaged: list[str] = []
    return answered_windows(
        (
            answer
            for folder in pulls.folders(window)
            for answer in pulls.read(folder, damaged)
            if answer.covers.overlaps(window)
        ),
        names,
    )


class GapTally(Tally):
    """Hours by cause."""

    newest_by = "date"

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.hours: Counter[str] = Counter()

    def count(self, frame: pl.DataFrame) -> None:
        by_cause = frame.group_by("cause").agg(pl.col("hours").sum())
        self.hours.update({str(cause): int(hours) for cause, hours in by_cause.iter_rows()})

    def counts(self) -> dict[str, Any]:
        return {"hours_by_cause": dict(self.hours.most_common())}

    def tables(self) -> dict[str, pl.DataFrame]:
        worst = self.newest.sort("hours", descending=True)
        return {"last_day": worst.select("station_id", "parameter", "first_hour", "hours", "cause")}
