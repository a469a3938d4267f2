"""Daily averages of a network, by the stations' local days."""

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
from aq_assets.plots import lines_by_station, plot
from aq_resources.io_managers import DayFiles, FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_resources.tables import DAILY_AVERAGES
from aq_science.averages import REACH_AFTER, REACH_BEFORE, daily_averages
from aq_science.windows import Window

Condition = dg.AutomationCondition[dg.AssetKey]

_READ = ("network", "station_id", "parameter", "hour", "value", "flag")
_PLOTTED = "pm25"
_SHOWN = (
    "station_id",
    "parameter",
    "date",
    "mean",
    "hours_valid",
    "completeness",
    "valid",
    "max_8h_mean",
    "aqi",
    "aqi_category",
    "unit",
)


def build_daily_averages(
    config: NetworkConfig, condition: Condition | None = None
) -> dg.AssetsDefinition:
    """``<network>/daily_averages``: one row a station, parameter and local day."""

    @dg.asset(
        **described(
            config,
            "daily_averages",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            schema=DAILY_AVERAGES.schema,
            columns=DAILY_AVERAGES.columns,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        automation_condition=condition,
        ins={
            "hourly_readings": dg.AssetIn(
                [config.name, "hourly_readings"],
                partition_mapping=windows_around(1, 1),
                input_manager_key=FILES,
            ),
            "stations": dg.AssetIn([config.name, "stations"], input_manager_key=TABLES),
        },
        description=(
            f"Daily averages of {title(config)} by the station's local date, with completeness, "
            "running 8-hour maxima, index and guideline comparison."
        ),
    )
    def daily(
        context: dg.AssetExecutionContext, hourly_readings: DayFiles, stations: pl.DataFrame
    ) -> FrameStream:
        platform: Platform = getattr(context.resources, PLATFORM)
        window = window_of(context)
        zones = dict(stations.select("station_id", "timezone").iter_rows())
        # A backfill also asks for the days beside it, whose readings may not be there.
        tally = DailyTally(hourly_readings.missing(window))

        def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
            for part in window.chunks(platform.chunk):
                reach = part.padded(before=REACH_BEFORE, after=REACH_AFTER)
                hourly = hourly_readings.scan(reach).select(_READ).collect()
                frame = daily_averages(
                    hourly,
                    zones,
                    (part.dates[0], part.dates[-1]),
                    day=platform.settings.daily_day,
                    reference_c=platform.settings.gas_reference_celsius,
                )
                tally.add(frame)
                yield part, frame

        return FrameStream(chunks(), day_details, tally.metadata, Progress(context, window))

    return daily


def day_details(averages: pl.DataFrame) -> dict[date, dict[str, Any]]:
    """The numbers that the UI plots over days, by day."""
    means = {
        f"mean_{name}": pl.col("mean").filter(pl.col("parameter") == name).mean()
        for name in ("pm25", "co")
    }
    days = averages.group_by(pl.col("date").alias("day")).agg(
        stations=pl.col("station_id").n_unique(), valid_fraction=pl.col("valid").mean(), **means
    )
    return {
        row.pop("day"): {name: value for name, value in row.items() if value is not None}
        for row in days.iter_rows(named=True)
    }


class DailyTally:
    """Counts, a table of the last day and a small plot of what went by."""

    def __init__(self, without_readings: list[date]) -> None:
        self.without_readings = without_readings
        self.valid = 0
        self.rows = 0
        self._last = pl.DataFrame()
        self._plotted: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take one chunk of daily rows into account."""
        self.rows += len(frame)
        self.valid += int(frame["valid"].sum())
        if len(frame):
            self._last = frame
        self._plotted.append(
            frame.filter(pl.col("parameter") == _PLOTTED).select("station_id", "date", "mean")
        )

    def metadata(self) -> dict[str, Any]:
        """What to show beside the materialization."""
        shown: dict[str, Any] = {}
        plotted = pl.concat(self._plotted) if self._plotted else None
        if plotted is not None and len(plotted):
            lines = lines_by_station(plotted, "date", "mean")
            shown["plot"] = plot("PM2.5, daily mean of valid hours", "µg/m³", lines)
        if not self._last.is_empty():
            last = self._last.filter(
                (pl.col("date") == pl.col("date").max()) & pl.col("parameter").is_in(["pm25", "co"])
            )
            shown["last_day"] = table_metadata(last.select(_SHOWN))
        shown["days_without_hourly_readings"] = len(self.without_readings)
        shown["run_valid_fraction"] = self.valid / self.rows if self.rows else 0.0
        return shown
