"""Quality tests on hourly readings: named reasons, and the flag they add up to.

A bad value is flagged, never changed or removed. Every test looks at one UTC day at the most, so
that the flags of a day never depend on how a longer range was cut into runs.
"""

from __future__ import annotations

import polars as pl

from aq_science.parameters import PARAMETERS, SENTINELS

FLAGS = ["valid", "suspect", "invalid", "missing"]

# Order is the bit order of the mask below, and the order of names within ``reasons``.
REASONS: dict[str, str] = {
    "no_value": "missing",
    "not_finite": "invalid",
    "unknown_unit": "invalid",
    "sentinel": "invalid",
    "out_of_range": "invalid",
    "suspect_range": "suspect",
    "duplicate_hour": "suspect",
    "stuck_at_zero": "suspect",
    # Noise around zero is valid data: dropping it would bias the mean upwards (EPA 2016).
    "negative": "valid",
}
_NAMES = list(REASONS)

# Share of a day's present hours that must be exactly zero for the sensor to count as stuck.
STUCK_SHARE = 0.75


def _bit(name: str, condition: pl.Expr) -> pl.Expr:
    return condition.fill_null(value=False).cast(pl.UInt16) * (1 << _NAMES.index(name))


def _bound(side: str, index: int) -> pl.Expr:
    bounds = {name: float(getattr(p, side)[index]) for name, p in PARAMETERS.items()}
    return pl.col("parameter").replace_strict(bounds, return_dtype=pl.Float64)


def stuck_days(readings: pl.DataFrame) -> pl.DataFrame:
    """The (station, parameter, day) groups whose zeros come from a stuck or clipped sensor.

    ``readings``: ``station_id, parameter, hour, value``. A group is stuck where at least
    `STUCK_SHARE` of its hours are exactly zero and there are ``Parameter.zero_hours`` of them.
    """
    group = ["station_id", "parameter", "day"]
    enough = {name: p.zero_hours for name, p in PARAMETERS.items()}
    dated = readings.lazy().with_columns(day=pl.col("hour").dt.truncate("1d"))
    zero_days = dated.filter(pl.col("value") == 0).group_by(group).agg(zeros=pl.len()).collect()
    zero_days = zero_days.filter(
        pl.col("zeros") >= pl.col("parameter").replace_strict(enough, return_dtype=pl.UInt32)
    )
    if zero_days.is_empty():
        return zero_days.select(group)
    present = (
        dated.filter(pl.col("value").is_not_null())
        .join(zero_days.lazy(), on=group, how="semi")
        .group_by(group)
        .agg(present=pl.len())
        .collect()
    )
    stuck = zero_days.join(present, on=group)
    return stuck.filter(pl.col("zeros") >= STUCK_SHARE * pl.col("present")).select(group)


def flag_readings(readings: pl.DataFrame) -> pl.DataFrame:
    """Add ``flag`` and ``reasons`` to readings in canonical units.

    Needs ``station_id, parameter, hour, value, value_native, duplicate``; keeps the row order.
    Values that are not finite become null in ``value`` and stay in ``value_native``.
    """
    value, native = pl.col("value"), pl.col("value_native")
    signed = [name for name, p in PARAMETERS.items() if p.signed]
    lower_fail, upper_fail = _bound("fail", 0), _bound("fail", 1)
    lower_suspect, upper_suspect = _bound("suspect", 0), _bound("suspect", 1)
    readings = readings.with_columns(value=pl.when(value.is_finite()).then(value)).with_columns(
        _mask=_bit("no_value", native.is_null())
        | _bit("not_finite", ~native.is_finite())
        | _bit("unknown_unit", native.is_finite() & value.is_null())
        | _bit("sentinel", native.is_in(SENTINELS))
        | _bit("out_of_range", (value < lower_fail) | (value > upper_fail))
        | _bit(
            "suspect_range",
            ((value < lower_suspect) & (value >= lower_fail))
            | ((value > upper_suspect) & (value <= upper_fail)),
        )
        | _bit("duplicate_hour", pl.col("duplicate"))
        | _bit("negative", (value < 0) & ~pl.col("parameter").is_in(signed)),
    )
    stuck = stuck_days(readings)
    if not stuck.is_empty():
        readings = (
            readings.with_columns(day=pl.col("hour").dt.truncate("1d"))
            .join(
                stuck.with_columns(_stuck=pl.lit(value=True)),
                on=["station_id", "parameter", "day"],
                how="left",
                maintain_order="left",
            )
            .with_columns(
                _mask=pl.col("_mask")
                | _bit("stuck_at_zero", pl.col("_stuck") & (pl.col("value") == 0))
            )
            .drop("day", "_stuck")
        )
    reasons, flags = _lookup()
    mask = readings["_mask"]
    return readings.drop("_mask").with_columns(
        reasons.gather(mask).alias("reasons"), flags.gather(mask).alias("flag")
    )


def _lookup() -> tuple[pl.Series, pl.Series]:
    """Reasons and flag of every mask: the worst of the reasons that fired decides the flag."""
    fired = [
        [name for bit, name in enumerate(_NAMES) if mask >> bit & 1]
        for mask in range(1 << len(_NAMES))
    ]
    worst = [max((FLAGS.index(REASONS[name]) for name in names), default=0) for names in fired]
    return (
        pl.Series(fired, dtype=pl.List(pl.String)),
        pl.Series([FLAGS[i] for i in worst], dtype=pl.Enum(FLAGS)),
    )
