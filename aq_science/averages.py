"""Daily averages per station, by the station's local day.

Sources: Directive 2008/50/EC Annexes VII and XI (75 % of hours; running 8-hour means need 6 of 8
hours, belong to the day on which they end, and 18 of a day's 24 are needed for its maximum) and
40 CFR 50 Appendix N (75 % of the hours of a day in local standard time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Literal

import numpy as np
import polars as pl

from aq_science.indices.by_parameter import by_parameter
from aq_science.indices.us_epa import aqi_category, daily_aqi_of_any
from aq_science.indices.us_epa_tables import US_EPA_2024, AqiTable, UsEpaTable, tables_between
from aq_science.indices.who_2021 import WHO_2021_8H, WHO_2021_DAILY
from aq_science.local_days import STANDARD_AS
from aq_science.parameters import PARAMETERS
from aq_science.tables.daily_averages import COMPLETENESS, DAILY_AVERAGES, REASON
from aq_science.tables.types import PARAMETER, PARAMETER_SLOTS, SERIES, UNIT
from aq_science.units import EU_REFERENCE_C
from aq_science.windows import DAY, HOUR, Window

Day = Literal["civil", "standard"]

RUNNING_HOURS = 8
RUNNING_VALID = 6
RUNNING_WINDOWS = 18
RUNNING_PARAMETERS = ("co", "o3")

# Local days reach this far beyond the UTC days of the same dates (UTC+14 to UTC-12), and a
# running mean seven hours further back.
REACH_BEFORE = timedelta(hours=14 + RUNNING_HOURS - 1)
REACH_AFTER = timedelta(hours=12)


# Hours begin on the quarter: zones differ from UTC by whole, half and quarter hours.
_QUARTER = timedelta(minutes=15)
_QUARTERS = HOUR // _QUARTER


@dataclass(frozen=True)
class _Calendar:
    """The local date of every quarter of an hour from `origin` on, in one time zone.

    `expected` is the most hours that can begin on each date.
    """

    origin: datetime
    dates: pl.Series
    expected: pl.DataFrame

    @classmethod
    def of(cls, zone: str, hours: Window, day: Day) -> _Calendar:
        # Longer than asked, so that the first and the last local day are counted whole.
        whole = hours.padded(before=2 * DAY, after=2 * DAY)
        clock = zone if day == "civil" else STANDARD_AS.get(zone, zone)
        local = (
            pl.datetime_range(
                whole.start,
                whole.end,
                interval=_QUARTER,
                closed="left",
                time_unit="us",
                time_zone="UTC",
                eager=True,
            )
            .alias("hour")
            .to_frame()
            .with_columns(local=pl.col("hour").dt.convert_time_zone(clock))
        )
        if day == "civil":
            date_of = pl.col("local").dt.date()
        else:
            date_of = (
                (pl.col("hour") + pl.col("local").dt.base_utc_offset())
                .dt.replace_time_zone(None)
                .dt.date()
            )
        dated = local.select(date=date_of)
        # Of 23.5 hours, of which 24 can begin: Lord Howe Island saves half an hour.
        most = (pl.len() / _QUARTERS).ceil().cast(pl.Int32)
        return cls(whole.start, dated["date"], dated.group_by("date").agg(hours_expected=most))

    def date_of(self, hours: pl.Series) -> pl.Series:
        index = (hours - self.origin).dt.total_minutes() // (_QUARTER // timedelta(minutes=1))
        return self.dates.gather(index).alias("date")

    def dates_of_hours(self, first: int, count: int, quarter: int) -> pl.Series:
        """Dates of `count` hours from the hour `first` after `origin` on, each a quarter later."""
        return self.dates.gather_every(_QUARTERS, quarter).slice(first, count)


def hours_expected(zone: str, dates: tuple[date, date], day: Day) -> pl.DataFrame:
    """How many hours can begin on each local date.

    Args:
        zone: IANA name.
        dates: First and last date, both included.
        day: Whether a day follows civil or standard time.

    Returns:
        `date` and `hours_expected` (23, 24 or 25).
    """
    counted = _Calendar.of(zone, Window.of_days(*dates), day).expected
    return counted.filter(pl.col("date").is_between(*dates))


def rule_name(day: Day) -> str:
    """Name of the rule behind `valid` and the day."""
    return f"75_percent_of_hours_{day}_day"


def daily_averages(
    hourly: pl.DataFrame,
    zones: dict[str, str],
    dates: tuple[date, date],
    *,
    day: Day = "civil",
    reference_c: float = EU_REFERENCE_C,
    elsewhere: pl.DataFrame | None = None,
    aqi_table: AqiTable = "2024",
) -> pl.DataFrame:
    """Daily averages of local days, of each station and parameter with a row of any hour.

    Args:
        hourly: `HOURLY_READINGS` (at least network, station_id, parameter, hour, value, flag; hours
            in UTC), with readings from `REACH_BEFORE` ahead of the first UTC day to `REACH_AFTER`
            behind the last one.
        zones: IANA time zone by station id; a station left out counts in UTC.
        dates: first and last local day, both included.
        day: whether a day follows civil time, with daylight saving, or standard time.
        reference_c: temperature (°C) at which gases are converted, for the index.
        elsewhere: `station_id`, `date` and `timezone` of days on which a station was in another
            zone than that of `zones`.
        aqi_table: whether the index is by the table of 2024 on every day, so that years compare, or
            by the one in force on the local day.

    Returns:
        `DAILY_AVERAGES` rows. `mean`, `minimum` and `maximum` are over hours flagged `valid`, even
        where the day is not `valid`; the index and the guideline comparison are for valid days
        only.
    """
    if elsewhere is not None and not elsewhere.is_empty():
        average = partial(
            daily_averages, dates=dates, day=day, reference_c=reference_c, aqi_table=aqi_table
        )
        return _moved(hourly, zones, elsewhere, average)
    frames = [
        _one_zone(part, network, zone, dates, day)
        for network, zone, part in _by_zone(hourly, zones)
    ]
    if not frames:
        return DAILY_AVERAGES.schema.to_frame()
    tables = (US_EPA_2024,) if aqi_table == "2024" else tables_between(*dates)
    days = _with_indices(pl.concat(frames), day, reference_c, tables)
    if len(frames) == 1:
        return days
    return days.sort("network", "station_id", "parameter", "date")


def _moved(
    hourly: pl.DataFrame,
    zones: dict[str, str],
    elsewhere: pl.DataFrame,
    average: Callable[[pl.DataFrame, dict[str, str]], pl.DataFrame],
) -> pl.DataFrame:
    """As `daily_averages`: each day by the zone that its station was in."""
    days = [average(hourly, zones)]
    on = ["station_id", "date"]
    there = elsewhere.with_columns(pl.col("station_id").cast(pl.Categorical()))
    days[0] = days[0].join(there, on=on, how="anti")
    for (zone,), part in there.partition_by("timezone", as_dict=True).items():
        own = hourly.filter(pl.col("station_id").is_in(part["station_id"].unique().implode()))
        names = dict.fromkeys(part["station_id"].cast(pl.String).to_list(), str(zone))
        days.append(average(own, names).join(part, on=on, how="semi"))
    return pl.concat(days).sort("network", "station_id", "parameter", "date")


def _by_zone(
    hourly: pl.DataFrame, zones: dict[str, str]
) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """The readings of each network and time zone."""
    networks = hourly["network"].unique().sort().to_list()
    for network in networks:
        own = hourly if len(networks) == 1 else hourly.filter(pl.col("network") == network)
        members: dict[str, list[str]] = {}
        for station in own["station_id"].unique().to_list():
            members.setdefault(zones.get(station, "UTC"), []).append(station)
        for zone, stations in sorted(members.items()):
            keep = pl.Series(stations, dtype=pl.Categorical())
            here = pl.col("station_id").is_in(keep.implode())
            yield network, zone, own if len(members) == 1 else own.filter(here)


def _one_zone(
    hourly: pl.DataFrame, network: str, zone: str, dates: tuple[date, date], day: Day
) -> pl.DataFrame:
    first, last = hourly["hour"].min(), hourly["hour"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return DAILY_AVERAGES.schema.to_frame()
    calendar = _Calendar.of(zone, Window(first, last + HOUR), day)
    days = (
        _by_group(hourly.with_columns(calendar.date_of(hourly["hour"])))
        .with_columns((pl.col("group") % _DATES).cast(pl.Int32).cast(pl.Date).alias("date"))
        .filter(pl.col("date").is_between(*dates))
    )
    stations = (
        hourly.select(pl.col("station_id").unique())
        .sort("station_id")
        .with_row_index("rank")
        .with_columns(pl.col("station_id").to_physical().cast(pl.Int64).alias("station"))
    )
    return (
        days.with_columns(
            station=pl.col("group") // _STATION,
            parameter=_ALL_PARAMETERS.gather(days["group"] // _DATES % PARAMETER_SLOTS),
        )
        .join(stations, on="station", how="left")
        # By one number too: station by name, parameter, date.
        .sort(pl.col("rank").cast(pl.Int64) * _STATION + pl.col("group") % _STATION)
        .join(calendar.expected, on="date", how="left", maintain_order="left")
        .join(_running_maxima(hourly, calendar), on="group", how="left", maintain_order="left")
        .with_columns(
            timezone=pl.lit(zone, pl.Categorical()), network=pl.lit(network, pl.Categorical())
        )
    )


# Station, parameter and date (days since 1970) in one integer, to group, join and sort by.
_DATES = 1 << 24
_STATION = PARAMETER_SLOTS * _DATES
_ALL_PARAMETERS = PARAMETER.categories.cast(PARAMETER)
_GROUP = (SERIES * _DATES + pl.col("date").to_physical().cast(pl.Int64)).alias("group")


def _by_group(dated: pl.DataFrame) -> pl.DataFrame:
    """Means, extremes and counts of every group of `_GROUP`, the same to the last bit in every run.

    Added up over runs of equal groups, in the order of the rows: an engine that adds in the order
    in which its threads end would change last digits from run to run.
    """
    columns = dated.select(
        _GROUP,
        filled=pl.col("value").fill_null(0.0),
        present=pl.col("value").is_not_null(),
        valid=(pl.col("value").is_not_null() & (pl.col("flag") == "valid")).fill_null(value=False),
    )
    group, filled, present, valid = (column.to_numpy() for column in columns)
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    sums = pl.DataFrame(
        {
            "group": group[starts],
            "sum_valid": np.add.reduceat(np.where(valid, filled, 0.0), starts),
            "sum_present": np.add.reduceat(filled, starts),
            "minimum": np.minimum.reduceat(np.where(valid, filled, np.inf), starts),
            "maximum": np.maximum.reduceat(np.where(valid, filled, -np.inf), starts),
            "hours_valid": np.add.reduceat(valid, starts, dtype=np.int32),
            "hours_present": np.add.reduceat(present, starts, dtype=np.int32),
        }
    )
    if sums["group"].is_duplicated().any():
        # A local day that lies in two files, or rows in another order.
        total = pl.col("sum_valid", "sum_present", "hours_valid", "hours_present").sum()
        extremes = (pl.col("minimum").min(), pl.col("maximum").max())
        merged = sums.lazy().group_by("group").agg(total, *extremes)
        sums = merged.collect(engine="in-memory")
    any_valid = pl.col("hours_valid") > 0
    return sums.select(
        "group",
        "hours_valid",
        "hours_present",
        mean=pl.when(any_valid).then(pl.col("sum_valid") / pl.col("hours_valid")),
        minimum=pl.when(any_valid).then("minimum"),
        maximum=pl.when(any_valid).then("maximum"),
        mean_all_hours=pl.when(pl.col("hours_present") > 0).then(
            pl.col("sum_present") / pl.col("hours_present")
        ),
    )


def _running_maxima(hourly: pl.DataFrame, calendar: _Calendar) -> pl.DataFrame:
    """`group` and highest running 8-hour mean of every series and local day that has enough."""
    readings = (
        hourly.lazy()
        .filter(
            pl.col("parameter").is_in(RUNNING_PARAMETERS)
            & (pl.col("flag") == "valid")
            & pl.col("value").is_not_null()
        )
        .select(SERIES, "hour", "value", quarter=pl.col("hour").dt.minute() // 15)
        .collect()
    )
    maxima = [pl.DataFrame(schema={"group": pl.Int64(), "max_8h_mean": pl.Float64()})]
    for (quarter,), part in readings.partition_by("quarter", as_dict=True).items():
        maxima.append(_running_maxima_of(part, calendar, int(quarter)))
    if len(maxima) <= 2:
        return maxima[-1]
    return pl.concat(maxima).group_by("group").agg(pl.col("max_8h_mean").max())


def _running_maxima_of(readings: pl.DataFrame, calendar: _Calendar, quarter: int) -> pl.DataFrame:
    """As `_running_maxima`, for hours that all begin in the same quarter of a UTC hour.

    Works on a dense matrix of series by hours: an absent hour still ends a window.
    """
    codes = readings["series"].to_numpy()
    series = np.flatnonzero(np.bincount(codes))
    position = np.zeros(series[-1] + 1, np.int64)
    position[series] = np.arange(len(series))
    rows = position[codes]
    columns = (readings["hour"] - calendar.origin).dt.total_hours().to_numpy()
    origin = int(columns.min())
    columns = columns - origin
    # Windows that end up to seven hours behind the last reading still hold some of it.
    width = int(columns.max()) + RUNNING_HOURS
    total = np.zeros((len(series), width))
    count = np.zeros((len(series), width), np.int8)
    total[rows, columns] = readings["value"].to_numpy()
    count[rows, columns] = 1
    for sums in (total, count):
        # Sums over one hour become sums over two, four and eight.
        for lag in (1, 2, 4):
            sums[:, lag:] = sums[:, lag:] + sums[:, :-lag]
    means = np.where(count >= RUNNING_VALID, total / np.maximum(count, 1), -np.inf)
    dates = calendar.dates_of_hours(origin, width, quarter).to_physical().to_numpy()
    starts = np.flatnonzero(np.r_[True, dates[1:] != dates[:-1]])
    maxima = np.maximum.reduceat(means, starts, axis=1)
    windows = np.add.reduceat(np.isfinite(means).astype(np.int16), starts, axis=1)
    row, column = np.nonzero(windows >= RUNNING_WINDOWS)
    return pl.DataFrame(
        {
            "group": series[row] * _DATES + dates[starts][column],
            "max_8h_mean": maxima[row, column],
        }
    )


def _with_indices(
    days: pl.DataFrame, day: Day, reference_c: float, tables: tuple[UsEpaTable, ...]
) -> pl.DataFrame:
    parameter = pl.col("parameter")
    index = daily_aqi_of_any(
        pl.col("mean"), pl.col("maximum"), pl.col("max_8h_mean"), reference_c, tables
    )
    compared = by_parameter(
        parameter, dict.fromkeys(WHO_2021_8H, pl.col("max_8h_mean")), pl.col("mean")
    )
    guideline = parameter.replace_strict(WHO_2021_DAILY, default=None, return_dtype=pl.Float64)
    return (
        days.lazy()
        .with_columns(completeness=pl.col("hours_valid") / pl.col("hours_expected"))
        .with_columns(valid=pl.col("completeness") >= COMPLETENESS)
        .with_columns(
            rule=pl.lit(rule_name(day), pl.Categorical()),
            reason=pl.when(pl.col("mean").is_null()).then(
                pl.when(pl.col("hours_present") > 0)
                .then(pl.lit("none_valid", REASON))
                .otherwise(pl.lit("no_value", REASON))
            ),
            aqi=pl.when("valid").then(index),
            who_2021_exceeded=pl.when("valid").then(compared > guideline),
        )
        .with_columns(aqi_category=aqi_category(pl.col("aqi")))
        .join(_units(), on="parameter", how="left", maintain_order="left")
        .select(DAILY_AVERAGES.schema.names())
        .collect()
    )


def _units() -> pl.LazyFrame:
    return pl.LazyFrame(
        {"parameter": list(PARAMETERS), "unit": [p.unit for p in PARAMETERS.values()]},
        schema={"parameter": PARAMETER, "unit": UNIT},
    )
