"""Days on which a station sent nothing have a row of daily averages too."""

from __future__ import annotations

from datetime import date

import polars as pl

from aq_science.averages import Day, hours_expected, rule_name
from aq_science.gaps import RETIRED_AFTER
from aq_science.parameters import PARAMETERS
from aq_science.readings import canonical_unit
from aq_science.tables.daily_averages import DAILY_AVERAGES, REASON
from aq_science.tables.types import PARAMETER

_SERIES_DAY = ("station_id", "parameter", "date")


def due_days(stations: pl.DataFrame, dates: tuple[date, date]) -> pl.DataFrame:
    """The days on which something is expected of each active station.

    `stations`: `STATIONS`; `dates`: first and last day, both included. Columns: `network`,
    `station_id`, `parameter`, `date`, and when the station was first and last described.
    """
    return (
        stations.select("network", "station_id", "first_seen", "last_seen", parameter="parameters")
        .explode("parameter")
        .filter(pl.col("parameter").is_in(list(PARAMETERS)))
        .cast({"station_id": pl.Categorical(), "parameter": PARAMETER, "network": pl.Categorical()})
        .join(pl.select(date=pl.date_range(*dates)), how="cross")
        .filter(
            pl.col("date") >= pl.col("first_seen").dt.date(),
            pl.col("date") <= (pl.col("last_seen") + RETIRED_AFTER).dt.date(),
        )
    )


def with_silent_days(
    averages: pl.DataFrame,
    stations: pl.DataFrame,
    zones: dict[str, str],
    dates: tuple[date, date],
    day: Day = "civil",
) -> pl.DataFrame:
    """Daily averages, and a row for each day on which an active station sent nothing.

    Args:
        averages: `DAILY_AVERAGES` of the dates, of one network.
        stations: Its `STATIONS`. A station is active from the day on which it was first described
            to `RETIRED_AFTER` behind the last; each parameter that it lists is due.
        zones: IANA time zone by station id.
        dates: First and last local day, both included.
        day: Whether a day follows civil or standard time.

    Returns:
        `DAILY_AVERAGES` rows, sorted by their key.
    """
    due = due_days(stations, dates)
    silent = due.join(averages, on=_SERIES_DAY, how="anti")
    if silent.is_empty():
        return averages
    names = [zones[str(station)] for station in silent["station_id"]]
    expected = pl.concat(
        hours_expected(zone, dates, day).with_columns(timezone=pl.lit(zone, pl.Categorical()))
        for zone in sorted(set(names))
    )
    rows = silent.with_columns(pl.Series("timezone", names, pl.Categorical())).join(
        expected, on=["timezone", "date"]
    )
    rows = rows.with_columns(
        hours_valid=0,
        hours_present=0,
        completeness=0.0,
        valid=pl.lit(value=False),
        rule=pl.lit(rule_name(day)),
        unit=canonical_unit(),
        reason=pl.lit("no_reading", REASON),
    )
    schema = DAILY_AVERAGES.schema
    filled = rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )
    return pl.concat([averages, filled]).sort(DAILY_AVERAGES.key)
