"""Versions of readings, and their fold into one a station, parameter and hour.

A *version* is one value that one pull gave for one hour. Pulls overlap, since history is asked
again and upstream networks rewrite it; the fold keeps the newest version of every hour and counts
how often it changed. A value that the network takes back is a version without a value. Stamps are
the UTC start of the hour; the value covers `[hour, hour + 1h)`.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_science.tables.types import INSTANT, PARAMETER, STATUS

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
        # Whether the provider doubts the value, and what it calls it.
        "provider_flag": pl.Boolean(),
        # How often the instrument's two channels are as far apart as they may be; null where they
        # agree, or are not known.
        "channels_apart": pl.Float64(),
        "status": STATUS,
        "pulled_at": INSTANT,
    }
)

# Hours of which an answer says that there is no value.
ABSENCE_SCHEMA = pl.Schema(
    {name: VERSION_SCHEMA[name] for name in (*KEY, "sensor_id", "pulled_at")}
)

# Windows that an answer gives whole: an hour that it leaves out has no value. `end` is that of the
# last hour it names.
WHOLE_SCHEMA = pl.Schema(
    {
        **{name: VERSION_SCHEMA[name] for name in ("station_id", "parameter", "sensor_id")},
        "start": INSTANT,
        "end": INSTANT,
        "pulled_at": INSTANT,
    }
)

# What makes two versions of an hour the same reading.
_CONTENT = (
    *("value_native", "unit_native", "coverage", "sensor_id", "duplicate", "provider_flag"),
    *("channels_apart", "status"),
)
_SERIES = ("station_id", "parameter", "sensor_id")
# Of sorted rows: whether one is of the same hour as the row before it.
_SAME_HOUR = pl.all_horizontal(pl.col(c).eq(pl.col(c).shift(1)) for c in KEY).fill_null(value=False)


def complete_hours(versions: pl.DataFrame) -> pl.DataFrame:
    """Versions of hours that had ended when they were pulled.

    The hour in progress is a mean of its first minutes and changes with every pull.
    """
    return versions.filter(pl.col("hour") + pl.duration(hours=1) <= pl.col("pulled_at"))


def fold_versions(versions: pl.DataFrame, as_known_at: datetime | None = None) -> pl.DataFrame:
    """One row an hour: its newest version, with `revision` counting the changes before it.

    `versions` has `VERSION_SCHEMA`. One that is `withdrawn` takes back those before it; any other
    without a value never replaces one that has a value, so that an hour that a newer pull leaves
    out keeps what was known. `pulled_at` of a row is when its current content was first received.
    With `as_known_at` (UTC) only pulls received by then count. Sorted by station, parameter, hour.
    """
    if as_known_at is not None:
        versions = versions.filter(pl.col("pulled_at") <= as_known_at)
    settled, changes = _settled_and_changes(versions)
    if changes.is_empty():
        return settled
    newest = changes.filter(~_SAME_HOUR.shift(-1, fill_value=False))
    return pl.concat([settled, newest]).sort(*KEY)


def hour_changes(versions: pl.DataFrame) -> pl.DataFrame:
    """What each hour of several versions has been, one row a content, of which the fold keeps the
    last.

    `versions` has `VERSION_SCHEMA`. `revision` counts from 0 in the order in which the contents
    came; `pulled_at` is when each was first received. Sorted by station, parameter, hour,
    revision.
    """
    return _settled_and_changes(versions)[1]


def _settled_and_changes(versions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The hours of one version, and what those of several have been, both with `revision`."""
    ordered = versions.sort(*KEY, "pulled_at")
    repeated = ordered.select(_SAME_HOUR.alias("same"))["same"]
    first = pl.lit(0, pl.Int32)
    if not repeated.any():
        settled = ordered.with_columns(revision=first)
        return settled, settled.clear()
    in_conflict = repeated | repeated.shift(-1, fill_value=False)
    settled = ordered.filter(~in_conflict).with_columns(revision=first)
    # Of versions received in the same instant the order must not depend on that of the rows.
    disputed = ordered.filter(in_conflict).sort(*KEY, "pulled_at", *_CONTENT)
    has_value = pl.col("value_native").is_not_null()
    # Nothing is taken back before there is something.
    withdrawn = (pl.col("status") == "withdrawn") & has_value.cum_max().over(KEY)
    counts = has_value | withdrawn.fill_null(value=False)
    disputed = disputed.filter(counts | ~has_value.any().over(KEY))
    unchanged = _SAME_HOUR & pl.all_horizontal(
        pl.col(c).eq_missing(pl.col(c).shift(1)) for c in _CONTENT
    )
    place = pl.int_range(pl.len(), dtype=pl.Int32)
    # An hour's rows stand together: counting from the first of them spares a grouping.
    changes = disputed.filter(~unchanged).with_columns(
        revision=place - pl.when(~_SAME_HOUR).then(place).forward_fill()
    )
    return settled, changes


def with_withdrawals(
    versions: pl.DataFrame, absences: pl.DataFrame, whole: pl.DataFrame
) -> pl.DataFrame:
    """Versions, and one without a value for each that a later answer takes back.

    Args:
        versions: `VERSION_SCHEMA`.
        absences: `ABSENCE_SCHEMA`.
        whole: `WHOLE_SCHEMA`. Of the hours left out count those before the end of the last hour
            that the answer names, since the newest may have yet to come.

    Returns:
        `VERSION_SCHEMA`; the new ones have the status `withdrawn`.
    """
    if versions.is_empty() or (absences.is_empty() and whole.is_empty()):
        return versions
    known = versions
    if whole.is_empty():
        # To look for the first value of every hour takes longer than all else here.
        known = known.join(absences, on=[*KEY, "sensor_id"], how="semi", nulls_equal=True)
    known = known.filter(pl.col("value_native").is_not_null())
    first = known.group_by(*KEY, "sensor_id").agg(
        pl.col("pulled_at").min().alias("first"), pl.col("unit_native").last()
    )
    said = absences.join(first, on=[*KEY, "sensor_id"], nulls_equal=True)
    asked = first.join(whole, on=_SERIES, nulls_equal=True).filter(
        pl.col("hour") >= pl.col("start"), pl.col("hour") + pl.duration(hours=1) <= pl.col("end")
    )
    left_out = asked.join(
        versions, on=[*KEY, "sensor_id", "pulled_at"], how="anti", nulls_equal=True
    )
    columns = [*KEY, "sensor_id", "unit_native", "first", "pulled_at"]
    taken_back = (
        pl.concat([said.select(columns), left_out.select(columns)])
        .filter(pl.col("pulled_at") > pl.col("first"))
        .unique([*KEY, "sensor_id", "pulled_at"])
        .with_columns(
            value_native=None,
            coverage=None,
            duplicate=False,
            provider_flag=False,
            channels_apart=None,
            status=pl.lit("withdrawn", STATUS),
        )
        .select(pl.col(name).cast(kind) for name, kind in VERSION_SCHEMA.items())
    )
    return pl.concat([versions, taken_back]) if taken_back.height else versions
