"""Why hours have no valid value: one cause an hour, so that a day's hours always add up.

In the order in which they are looked for:

* `rejected`: there is a value, and quality tests found fault with it; `tests` names them,
* `coverage_too_low`: too little of the hour was measured, and nothing else is wrong,
* `withdrawn`: the network has taken the value back,
* `not_yet_due`: the hour has not ended, or only just,
* `pull_failed`: no answer that covers the hour came after it had ended,
* `station_retired`: nothing was heard of the station for long before and ever since,
* `source_silent`: the network answered, and had no value.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from aq_science.tables.gaps import CAUSE, GAPS
from aq_science.tables.types import INSTANT, PARAMETER
from aq_science.versions import KEY
from aq_science.windows import HOUR, Window

_SERIES = ("station_id", "parameter")
_INSTANT = timedelta(microseconds=1)

# A station of which nothing was heard for so long is retired.
RETIRED_AFTER = timedelta(days=30)

# Which times an answer is about, and which station; null where it is about all of a network.
ANSWERED_SCHEMA = pl.Schema(
    {"station_id": pl.String(), "start": INSTANT, "end": INSTANT, "pulled_at": INSTANT}
)
_CAUSES_SCHEMA = {
    "station_id": pl.Categorical(),
    "parameter": PARAMETER,
    "hour": INSTANT,
    "cause": CAUSE,
    "tests": pl.List(pl.String()),
}


def expected_hours(stations: pl.DataFrame, readings: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Every hour of a window that a station's parameters should have a value for.

    Args:
        stations: `STATIONS`, which says what each measures.
        readings: `HOURLY_READINGS` of the window: what they hold is expected too, and at which
            minute a series' hours begin.
        window: Whole UTC days.

    Returns:
        `station_id, parameter, hour`.
    """
    listed = stations.select("station_id", pl.col("parameters").alias("parameter"))
    listed = listed.explode("parameter").drop_nulls()
    listed = listed.cast({"station_id": pl.Categorical(), "parameter": PARAMETER})
    begins = readings.group_by(_SERIES).agg(minute=pl.col("hour").dt.minute().mode().first())
    series = (
        pl.concat([listed, begins.select(_SERIES)])
        .unique()
        .join(begins, on=_SERIES, how="left")
        .with_columns(pl.col("minute").fill_null(0).cast(pl.Int64))
    )
    count = (window.end - window.start) // HOUR
    hours = pl.select(hour=pl.lit(window.start).cast(INSTANT) + HOUR * pl.int_range(count))
    return series.join(hours, how="cross").select(
        *_SERIES, hour=pl.col("hour") + pl.duration(minutes="minute")
    )


def hour_causes(
    expected: pl.DataFrame,
    readings: pl.DataFrame,
    answered: pl.DataFrame,
    last_heard: pl.DataFrame,
    due: datetime,
) -> pl.DataFrame:
    """The cause of every hour without a valid value.

    Args:
        expected: `station_id, parameter, hour` (UTC start), one row an hour that should have one.
        readings: `HOURLY_READINGS` of the same hours.
        answered: `ANSWERED_SCHEMA`: the windows `[start, end)` of answers that could be read.
        last_heard: `station_id` and `last_seen` (UTC) of the stations.
        due: Hours that end later are not expected yet (UTC).

    Returns:
        `station_id, parameter, hour, cause, tests`, sorted; the hours of `expected` that are not
        in it have a valid value.
    """
    flags = readings.select(*KEY, "flag", "reasons", "status")
    hours = expected.select(KEY).join(flags, on=KEY, how="left")
    hours = hours.filter(pl.col("flag").ne_missing("valid"))
    heard = last_heard.select(pl.col("station_id").cast(pl.Categorical()), "last_seen")
    hours = hours.join(heard, on="station_id", how="left")
    ended = pl.col("hour") + HOUR
    tests = pl.col("reasons").list.set_difference(["negative"])
    hours = hours.with_columns(pulled=_is_answered(hours, answered))
    cause = (
        pl.when(pl.col("status") == "withdrawn")
        .then(pl.lit("withdrawn"))
        .when(pl.col("flag").is_in(["suspect", "invalid"]) & (tests == ["coverage"]))
        .then(pl.lit("coverage_too_low"))
        .when(pl.col("flag").is_in(["suspect", "invalid"]))
        .then(pl.lit("rejected"))
        .when(ended > due)
        .then(pl.lit("not_yet_due"))
        .when(~pl.col("pulled"))
        .then(pl.lit("pull_failed"))
        .when(pl.col("hour") > pl.col("last_seen") + RETIRED_AFTER)
        .then(pl.lit("station_retired"))
        .otherwise(pl.lit("source_silent"))
    )
    return (
        hours.select(*KEY, cause=cause.cast(CAUSE), tests=tests)
        .with_columns(tests=pl.when(pl.col("cause") == "rejected").then("tests"))
        .cast(_CAUSES_SCHEMA)  # type: ignore[arg-type]
        .sort(KEY)
    )


def _is_answered(hours: pl.DataFrame, answered: pl.DataFrame) -> pl.Series:
    """Whether an answer about each hour's station came after the hour had ended."""
    # An answer tells of the hours from its start to its end that had ended when it came.
    said = answered.with_columns(
        end=pl.min_horizontal("end", pl.col("pulled_at") - HOUR + _INSTANT)
    ).filter(pl.col("end") > pl.col("start"))
    asked = hours.select(pl.col("station_id").cast(pl.String), "hour")
    about_all = said.filter(pl.col("station_id").is_null()).with_columns(station_id=pl.lit(""))
    of_everyone = _within(asked.with_columns(station_id=pl.lit("")), about_all)
    of_its_own = _within(asked, said.filter(pl.col("station_id").is_not_null()))
    return (of_everyone | of_its_own).alias("pulled")


def _within(hours: pl.DataFrame, periods: pl.DataFrame) -> pl.Series:
    """Whether each hour lies in one of its station's periods `[start, end)`."""
    ordered = periods.sort("station_id", "start")
    # Periods that touch are one: so many as there are holes between them, not as there are pulls.
    apart = pl.col("start") > pl.col("end").cum_max().shift(1).over("station_id")
    joined = (
        ordered.with_columns(number=apart.fill_null(value=True).cum_sum().over("station_id"))
        .group_by("station_id", "number")
        .agg(pl.col("start").min(), pl.col("end").max())
        .sort("start")
    )
    return (
        hours.with_row_index("row")
        .sort("hour")
        .join_asof(
            joined, left_on="hour", right_on="start", by="station_id", check_sortedness=False
        )
        .sort("row")
        .select((pl.col("hour") < pl.col("end")).fill_null(value=False))
        .to_series()
    )


def gaps(causes: pl.DataFrame, network: str) -> pl.DataFrame:
    """Runs of hours with one cause, within a UTC day.

    Args:
        causes: As `hour_causes` gives them.
        network: Name of the network.

    Returns:
        `GAPS` rows, sorted by their key.
    """
    hour = pl.col("hour")
    follows = hour.diff().eq(HOUR) & pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift(1)) for name in (*_SERIES, "cause", "tests")
    )
    same_day = hour.dt.date() == hour.dt.date().shift(1)
    run = (~(follows & same_day).fill_null(value=False)).cum_sum().alias("run")
    return (
        causes.sort(KEY)
        .group_by(run, maintain_order=True)
        .agg(
            pl.col(*_SERIES, "cause", "tests").first(),
            first_hour=hour.first(),
            last_hour=hour.last(),
            hours=pl.len().cast(pl.Int32),
        )
        .with_columns(
            network=pl.lit(network, pl.Categorical()), date=pl.col("first_hour").dt.date()
        )
        .select(pl.col(name).cast(kind) for name, kind in GAPS.schema.items())
        .sort("station_id", "parameter", "first_hour")
    )
