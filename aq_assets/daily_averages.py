"""Daily averages of a network, by the stations' local days."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.metadata import percent, unit_key
from aq_assets.panels import SHOWN, station_names, station_panels
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of, windows_around
from aq_assets.plots import Level, plot
from aq_assets.stations import known_stations
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import RUN, FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_has_places
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.day_files import DayFiles
from aq_science.averages import REACH_AFTER, REACH_BEFORE, daily_averages
from aq_science.limits import LIMITS, WHO_2021
from aq_science.parameters import PARAMETERS
from aq_science.places import zones_elsewhere
from aq_science.silent_days import with_silent_days
from aq_science.station_history import former_zones
from aq_science.stations import day_zone
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.station_history import STATION_HISTORY
from aq_science.tables.station_places import STATION_PLACES
from aq_science.windows import DAY, Window

Condition = dg.AutomationCondition[dg.AssetKey]

# Days that the plot shows at least and at most.
_PLOT_LEAST, _PLOT_MOST = 28 * DAY, 366 * DAY
# What a day's mean is compared with.
GUIDELINES = {
    limit.parameter: Level(
        limit.level,
        f"WHO 2021, 24-hour guideline:\n{limit.level:g} {PARAMETERS[limit.parameter].unit}",
    )
    for limit in LIMITS
    if (limit.standard, limit.metric) == (WHO_2021, "daily_mean")
}

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

    @asset(
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
        elsewhere = elsewhere_by(config, services, zones_of(stations))

        def average(days: Window) -> pl.DataFrame:
            readings = hourly_readings.scan(reach(days)).select(HOURS_READ).collect()
            return averages_of(days, readings, stations, elsewhere(days), services.settings)

        # A backfill also asks for the days beside it, and automation for today at midnight: a day's
        # own readings may have yet to come.
        asked = window_of(context)
        tally = DailyTally(
            hourly_readings.missing(asked, reach(asked)),
            station_names(stations),
            lambda: _recent(services, config.name, asked),
        )
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


def elsewhere_by(
    config: NetworkConfig, services: Services, zones: dict[str, str]
) -> Callable[[Window], pl.DataFrame]:
    """Says on which days stations of a network stood in another zone than today.

    Args:
        config: The network.
        services: For the warehouse, which knows where each station was.
        zones: As `zones_of` gives them.

    Returns:
        Of local dates, as the UTC days of the same names: `station_id`, `date` and `timezone`.
    """
    rows = services.warehouse.rows
    if network_has_places(config.name):
        return lambda days: zones_elsewhere(
            rows(config.name, STATION_PLACES, STATION_PLACES.bounds(days)), zones
        )
    history = rows(config.name, STATION_HISTORY)
    return lambda days: former_zones(history, zones, (days.dates[0], days.dates[-1]))


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
        elsewhere: As `elsewhere_by` says.
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
        unit_key(f"mean_{name}", name): pl.col("mean").filter(pl.col("parameter") == name).mean()
        for name in SHOWN
    }
    days = averages.group_by(pl.col("date").alias("day")).agg(
        stations=pl.col("station_id").n_unique(),
        valid_percent=(pl.col("valid").mean() * 100).round(1),
        **{key: mean.round_sig_figs(3) for key, mean in means.items()},
    )
    return {
        row.pop("day"): {name: value for name, value in row.items() if value is not None}
        for row in days.iter_rows(named=True)
    }


def _recent(services: Services, network: str, asked: Window) -> pl.DataFrame:
    """What to plot: the run's days and at least four weeks, as they are stored; at most a year."""
    first = max(asked.end - _PLOT_MOST, min(asked.start, asked.end - _PLOT_LEAST))
    return services.warehouse.read(
        "SELECT station_id, parameter, date AS time, mean AS value "
        f"FROM {network}.daily_averages WHERE date >= ? AND date < ? "
        f"AND parameter IN {tuple(SHOWN)}",
        [first.date(), asked.end.date()],
    )


class DailyTally(Tally):
    """How many station-days are valid, a plot of the last weeks and the last day's averages."""

    newest_by = "date"

    def __init__(
        self,
        without_readings: list[date],
        names: Mapping[str, str],
        recent: Callable[[], pl.DataFrame],
    ) -> None:
        """Counts nothing yet.

        Args:
            without_readings: The run's days that have no hourly readings.
            names: Of the stations, by id.
            recent: Reads what is plotted once all chunks are stored: `station_id`, `parameter`,
                `time` (a local date) and `value`.
        """
        super().__init__(names)
        self.recent = recent
        self.without_readings = without_readings
        self.valid = 0
        self.rows = 0

    def count(self, frame: pl.DataFrame) -> None:
        self.rows += len(frame)
        self.valid += int(frame["valid"].sum())

    def counts(self) -> dict[str, Any]:
        return {
            RUN: {"valid_percent": percent(self.valid, self.rows)},
            "days_without_hourly_readings": len(self.without_readings),
        }

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:  # noqa: ARG002
        panels = station_panels(self.recent(), self.names, GUIDELINES)
        return {"plot": plot("Means of the valid hours by local day", panels)} if panels else {}

    def tables(self) -> dict[str, pl.DataFrame]:
        main = self.newest.filter(pl.col("parameter").is_in(list(SHOWN)))
        return {"last_day": main.select(_SHOWN)}
