"""Daily averages of a network by the rules of several regulators."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.daily_averages import HOURS_READ, elsewhere_by, reach, zones_of
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
from aq_science.averages_by_rule import averages_by_rule
from aq_science.tables.daily_averages_by_rule import DAILY_AVERAGES_BY_RULE
from aq_science.windows import Window


def build_daily_averages_by_rule(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/daily_averages_by_rule`: one row a station, parameter, local day and rule."""

    @asset(
        **described(
            config,
            DAILY_AVERAGES_BY_RULE.name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=DAILY_AVERAGES_BY_RULE,
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
        deps=[dg.AssetKey([config.name, "stations"])],
        description=(
            f"Daily averages of {title(config)} by the rules of the European Union (civil and "
            "standard time), the US EPA and the WHO, side by side."
        ),
    )
    def by_rule(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        hourly_readings: DayFiles,
    ) -> FrameStream:
        stations = known_stations(context, config, services)
        zones = zones_of(stations)
        elsewhere = elsewhere_by(config, services, zones)

        def average(days: Window) -> pl.DataFrame:
            return averages_by_rule(
                hourly_readings.scan(reach(days)).select(HOURS_READ).collect(),
                zones,
                (days.dates[0], days.dates[-1]),
                elsewhere(days),
            )

        return chunked(context, services.chunk, average, RuleTally(station_names(stations)))

    return by_rule


class RuleTally(Tally):
    """Valid days by rule."""

    newest_by = "date"

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.valid: dict[str, int] = {}

    def count(self, frame: pl.DataFrame) -> None:
        for rule, days in frame.group_by("rule").agg(pl.col("valid").sum()).iter_rows():
            self.valid[str(rule)] = self.valid.get(str(rule), 0) + int(days)

    def counts(self) -> dict[str, Any]:
        return {RUN: {f"valid_days_{rule}": days for rule, days in sorted(self.valid.items())}}

    def tables(self) -> dict[str, pl.DataFrame]:
        columns = ("station_id", "parameter", "rule", "mean", "completeness", "valid", "unit")
        main = self.newest.filter(pl.col("parameter").is_in(["pm25", "co"]))
        return {"last_day": main.select(columns)}
