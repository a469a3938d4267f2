"""Versions of readings, and their fold into one a station, parameter and hour.

A *version* is one value that one pull gave for one hour. Pulls overlap, since history is asked
again and upstream networks rewrite it; the fold keeps the newest version of every hour and counts
how often it changed. Stamps are the UTC start of the hour; the value covers `[hour, hour + 1h)`.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_science.tables.types import INSTANT, PARAMETER

KEY = ("station_id", "parameter", "hour")

VERSION_SCHEMA = pl.Schema(
    {
        "station_id": pl.Categorical(),
        "parameter": PARAMETER,
        "hour": INSTANT,
        "value_native": pl.Float64(),
        "unit_native": pl.Categorical(),
        "coverage": pl.Float64(),
        "sensor_id": pl.Categorical(),
        "duplicate": pl.Boolean(),
        "pulled_at": INSTANT,
    }
)

# What makes two versions of an hour the same reading.
_CONTENT = ("value_native", "unit_native", "coverage", "sensor_id", "duplicate")


def complete_hours(versions: pl.DataFrame) -> pl.DataFrame:
    """Versions of hours that had ended when they were pulled.

    The hour in progress is a mean of its first minutes and changes with every pull.
    """
    return versions.filter(pl.col("hour") + pl.duration(hours=1) <= pl.col("pulled_at"))


def fold_versions(versions: pl.DataFrame, as_known_at: datetime | None = None) -> pl.DataFrame:
    """One row an hour: its newest version, with `revision` counting the changes before it.

    `versions` has `VERSION_SCHEMA`. A version without a value never replaces one that has a value:
    an hour that a newer pull leaves out keeps what was known. `pulled_at` of a row is when its
    current content was first received. With `as_known_at` (UTC) only pulls received by then count.
    Sorted by station, parameter, hour.
    """
    if as_known_at is not None:
        versions = versions.filter(pl.col("pulled_at") <= as_known_at)
    ordered = versions.sort(*KEY, "pulled_at")
    same_key = pl.all_horizontal(pl.col(c).eq(pl.col(c).shift(1)) for c in KEY).fill_null(
        value=False
    )
    repeated = ordered.select(same_key.alias("same"))["same"]
    if not repeated.any():
        return ordered.with_columns(revision=pl.lit(0, pl.Int32))
    in_conflict = repeated | repeated.shift(-1, fill_value=False)
    settled = ordered.filter(~in_conflict).with_columns(revision=pl.lit(0, pl.Int32))
    # Of versions received in the same instant the order must not depend on that of the rows.
    disputed = ordered.filter(in_conflict).sort(*KEY, "pulled_at", *_CONTENT)
    has_value = pl.col("value_native").is_not_null()
    disputed = disputed.filter(has_value | ~has_value.any().over(KEY))
    unchanged = same_key & pl.all_horizontal(
        pl.col(c).eq_missing(pl.col(c).shift(1)) for c in _CONTENT
    )
    changes = disputed.filter(~unchanged)
    newest = changes.group_by(*KEY).agg(
        pl.exclude(KEY).last(), revision=(pl.len() - 1).cast(pl.Int32)
    )
    return pl.concat([settled, newest.select(settled.columns)]).sort(*KEY)
