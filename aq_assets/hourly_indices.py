"""Indices of a network's hours."""

from collections import Counter
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.panels import station_names
from aq_assets.partitions import ONE_RUN, daily_partitions, windows_around
from aq_assets.stations import known_stations
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import RUN, FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_science.hourly_indices import REACH, hourly_indices
from aq_science.tables.hourly_indices import HOURLY_INDICES
from aq_science.windows import Window

_READ = ("station_id", "parameter", "hour", "value", "flag")


def build_hourly_indices(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/hourly_indices`: one row a station, parameter and hour."""

    @asset(
        **described(
            config,
            HOURLY_INDICES.name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=HOURLY_INDICES,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            "hourly_readings": dg.AssetIn(
                [config.name, "hourly_readings"],
                partition_mapping=windows_around(1, 0),
                input_manager_key=FILES,
            )
        },
        description=(
            f"NowCast and index of the US EPA, and the level of the European index, for every hour "
            f"of {title(config)}."
        ),
    )
    def indices(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        hourly_readings: DayFiles,
    ) -> FrameStream:
        def compute(days: Window) -> pl.DataFrame:
            readings = hourly_readings.scan(days.padded(before=REACH)).select(_READ).collect()
            return hourly_indices(readings, days, config.name)

        names = station_names(known_stations(context, config, services))
        return chunked(context, services.chunk, compute, IndexTally(names))

    return indices


class IndexTally(Tally):
    """Hours by category."""

    newest_by = "date"

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__(names)
        self.categories: dict[str, Counter[str]] = {"nowcast": Counter(), "european": Counter()}

    def count(self, frame: pl.DataFrame) -> None:
        for index, counter in self.categories.items():
            found = frame[f"{index}_category"].drop_nulls().value_counts()
            counter.update(dict(found.iter_rows()))

    def counts(self) -> dict[str, Any]:
        return {RUN: {f"hours_{name}": dict(found) for name, found in self.categories.items()}}

    def tables(self) -> dict[str, pl.DataFrame]:
        last = self.newest.filter(pl.col("hour") == pl.col("hour").max())
        return {"last_hour": last.drop("network", "date")}
