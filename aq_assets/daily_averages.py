"""Daily averages of a network, by the stations' local days."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of, windows_around
from aq_assets.plots import Line, lines_by_station
from aq_assets.stations import known_stations
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_has_places
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.day_files import DayFiles
from aq_science.averages import REACH_AFTER, REACH_BEFORE, daily_averages
from aq_science.places import zones_elsewhere
from aq_science.silent_days import with_silent_days
from aq_science.station_history import former_zones
from aq_science.stations import day_zone
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.station_history import STATION_HISTORY
from aq_science.tables.station_places import STATION_PLACES
from aq_science.windows import Window

Condition = dg.AutomationCondition[dg.AssetKey]

HOURS_READ = ("network", "station_id", "parameter", "hour", "value", "flag")
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
    """`<network>/daily_averages`: one row a station, parameter and local day."""

    @dg.asset(
        **described(
            config,
            "daily_averages",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=DAILY_AVERAGES,
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
        },
        deps=[dg.AssetDep(dg.AssetKey([config.name, "stations"])), *_places(config)],
        description=(
            f"Daily averages of {title(config)} by the station's local date, with completeness, "
            "running 8-hour maxima, index and guideline comparison."
        ),
    )
    def daily(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        hourly_readings: DayFiles,
    ) -> FrameStream:
        stations = known_stations(context, config, services)

        def average(days: Window) -> pl.DataFrame:
            readings = hourly_readings.scan(reach(days)).select(HOURS_READ).collect()
            elsewhere = elsewhere_on(days, config, services, zones_of(stations))
            return averages_of(days, readings, stations, elsewhere, services.settings)

        # A backfill also asks for the days beside it, and automation for today at midnight: a day's
        # own readings may have yet to come.
        asked = window_of(context)
        tally = DailyTally(hourly_readings.missing(asked, reach(asked)))
        return chunked(context, services.chunk, average, tally, day_details)

    return daily


def _places(config: NetworkConfig) -> list[dg.AssetDep]:
    if not network_has_places(config.name):
        return []
    key = dg.AssetKey([config.name, STATION_PLACES.name])
    return [dg.AssetDep(key, partition_mapping=windows_around(0, 0))]


def reach(days: Window) -> Window:
    """The hours that local days of these dates consist of, anywhere on earth."""
    return days.padded(before=REACH_BEFORE, after=REACH_AFTER)


def zones_of(stations: pl.DataFrame) -> dict[str, str]:
    """Zone of the local days by station; `stations` has `STATIONS` rows."""
    # One that an earlier version stored as the network said it must stop no average.
    return {
        station: day_zone(zone)
        for station, zone in stations.select("station_id", "timezone").iter_rows()
    }


def elsewhere_on(
    days: Window, config: NetworkConfig, services: Services, zones: dict[str, str]
) -> pl.DataFrame:
    """Days on which stations of a network stood in another zone than today.

    Args:
        days: The local dates, as the UTC days of the same names.
        config: The network.
        services: For the warehouse, which knows where each station was.
        zones: As `zones_of` gives them.

    Returns:
        `station_id`, `date` and `timezone`.
    """
    if network_has_places(config.name):
        places = services.warehouse.rows(config.name, STATION_PLACES, STATION_PLACES.bounds(days))
        return zones_elsewhere(places, zones)
    history = services.warehouse.rows(config.name, STATION_HISTORY)
    return former_zones(history, zones, (days.dates[0], days.dates[-1]))


def averages_of(
    days: Window,
    readings: pl.DataFrame,
    stations: pl.DataFrame,
    elsewhere: pl.DataFrame,
    settings: Settings,
) -> pl.DataFrame:
    """The daily averages of some dates, as the settings want them.

    Args:
        days: The local dates, as the UTC days of the same names.
        readings: `HOURLY_READINGS` of `reach(days)`.
        stations: `STATIONS`.
        elsewhere: As `elsewhere_on` gives it.
        settings: Which day, which temperature of gases and which index table count.

    Returns:
        `DAILY_AVERAGES` rows.
    """
    zones = zones_of(stations)
    dates = (days.dates[0], days.dates[-1])
    averages = daily_averages(
        readings,
        zones,
        dates,
        day=settings.daily_day,
        reference_c=settings.gas_reference_celsius,
        elsewhere=elsewhere,
        aqi_table=settings.aqi_table,
    )
    return with_silent_days(averages, stations, zones, dates, settings.daily_day)


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


class DailyTally(Tally):
    """How many station-days are valid, PM2.5 over the run and the last day's averages."""

    newest_by = "date"
    plot_title = "PM2.5, daily mean of valid hours"

    def __init__(self, without_readings: list[date]) -> None:
        super().__init__()
        self.without_readings = without_readings
        self.valid = 0
        self.rows = 0

    def count(self, frame: pl.DataFrame) -> None:
        self.rows += len(frame)
        self.valid += int(frame["valid"].sum())

    def counts(self) -> dict[str, Any]:
        return {
            "days_without_hourly_readings": len(self.without_readings),
            "run_valid_fraction": self.valid / self.rows if self.rows else 0.0,
        }

    def points(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("parameter") == "pm25").select("station_id", "date", "mean")

    def lines(self, points: pl.DataFrame) -> Sequence[Line]:
        return lines_by_station(points, "date", "mean")

    def tables(self) -> dict[str, pl.DataFrame]:
        main = self.newest.filter(pl.col("parameter").is_in(["pm25", "co"]))
        return {"last_day": main.select(_SHOWN)}
