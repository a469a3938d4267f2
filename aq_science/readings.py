"""Hourly readings: what the pulls said, folded into one reading an hour.

A *version* is one value that one pull gave for one hour. Pulls overlap, since history is asked
again and upstream networks rewrite it; the fold keeps the newest version of every hour and counts
how often it changed. Stamps are the UTC start of the hour; the value covers ``[hour, hour + 1h)``.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_science.parameters import PARAMETERS
from aq_science.quality import FLAGS, flag_readings
from aq_science.units import EU_REFERENCE_C, to_canonical

INSTANT = pl.Datetime("us", "UTC")
PARAMETER = pl.Enum(list(PARAMETERS))
UNIT = pl.Enum(sorted({p.unit for p in PARAMETERS.values()}))
FLAG = pl.Enum(FLAGS)

KEY = ("station_id", "parameter", "hour")

# Station and parameter in one integer, which compares and groups faster than the two columns.
# Good within a process alone: categories are numbered as they are met.
PARAMETER_SLOTS = 64
SERIES = (
    pl.col("station_id").to_physical().cast(pl.Int64) * PARAMETER_SLOTS
    + pl.col("parameter").to_physical().cast(pl.Int64)
).alias("series")

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

HOURLY_SCHEMA = pl.Schema(
    {
        "network": pl.Categorical(),
        "station_id": pl.Categorical(),
        "parameter": PARAMETER,
        "hour": INSTANT,
        "value": pl.Float64(),
        "unit": UNIT,
        "value_native": pl.Float64(),
        "unit_native": pl.Categorical(),
        "coverage": pl.Float64(),
        "flag": FLAG,
        "reasons": pl.List(pl.String()),
        "sensor_id": pl.Categorical(),
        "pulled_at": INSTANT,
        "revision": pl.Int32(),
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
    """One row an hour: its newest version, with ``revision`` counting the changes before it.

    ``versions`` has `VERSION_SCHEMA`. A version without a value never replaces one that has a
    value: an hour that a newer pull leaves out keeps what was known. ``pulled_at`` of a row is
    when its current content was first received. With ``as_known_at``, only pulls received by then
    count. Sorted by station, parameter, hour.
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


def hourly_readings(
    folded: pl.DataFrame, network: str, reference_c: float = EU_REFERENCE_C
) -> pl.DataFrame:
    """Folded versions as `HOURLY_SCHEMA`: canonical units, quality flags and their reasons.

    A unit that is absent or cannot be converted leaves ``value`` null and flags the row
    ``invalid``; the value as reported stays in ``value_native``.
    """
    pairs = folded.select("parameter", "unit_native").unique()
    factors = pl.DataFrame(
        [
            (
                parameter,
                unit,
                *((unit and to_canonical(parameter, unit, reference_c)) or (None, None)),
            )
            for parameter, unit in pairs.iter_rows()
        ],
        schema={
            "parameter": PARAMETER,
            "unit_native": pl.Categorical(),
            "scale": pl.Float64(),
            "offset": pl.Float64(),
        },
        orient="row",
    )
    if factors.filter(
        pl.col("scale").ne_missing(1.0) | pl.col("offset").ne_missing(0.0)
    ).is_empty():
        converted = folded.with_columns(value="value_native")
    else:
        converted = folded.join(
            factors, on=["parameter", "unit_native"], how="left", maintain_order="left"
        ).with_columns(value=pl.col("value_native") * pl.col("scale") + pl.col("offset"))
    units = {name: p.unit for name, p in PARAMETERS.items()}
    flagged = flag_readings(converted)
    return flagged.select(
        pl.lit(network, pl.Categorical()).alias("network"),
        "station_id",
        "parameter",
        "hour",
        "value",
        pl.col("parameter").replace_strict(units, return_dtype=UNIT).alias("unit"),
        "value_native",
        "unit_native",
        "coverage",
        pl.col("flag").cast(FLAG),
        "reasons",
        "sensor_id",
        "pulled_at",
        "revision",
    )
