"""From values of shorter periods to hours.

A value is averaged only after its own quality tests: a code for "no value" among good ones would
spoil the mean and could not be seen in it any more. What is left out counts as not measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from aq_science.parameters import PARAMETERS, SENTINELS
from aq_science.units import to_canonical
from aq_science.windows import HOUR

# Rows follow a rhythm where this share of the steps between them are whole multiples of the typical
# step, to a tenth of it.
_RHYTHM_SHARE = 0.8
_RHYTHM_TOLERANCE = 0.1
# From so many rows on an hour shows its own rhythm, which may have changed within the day.
_OWN_RHYTHM_ROWS = 3

_KIND = ("parameter", "unit")


def usable_values(rows: pl.DataFrame) -> pl.Series:
    """Which values may go into the mean of their hour.

    Args:
        rows: `parameter` (canonical name or null), `unit` (as reported) and `value`.

    Returns:
        False for what is no number, a code for "no value", or beyond what the quantity can be (the
        fail span of the gross range test, which says nothing in a unit that cannot be converted).
    """
    kinds = rows.select(_KIND).unique().rows()
    spans = pl.DataFrame(
        [(*kind, *_native_span(*kind)) for kind in kinds],
        schema={"parameter": pl.String, "unit": pl.String, "low": pl.Float64, "high": pl.Float64},
        orient="row",
    )
    value = pl.col("value")
    return (
        rows.select(pl.col(_KIND).cast(pl.String), "value")
        .join(spans, on=_KIND, how="left", maintain_order="left", nulls_equal=True)
        .select(
            (
                value.is_finite()
                & ~value.is_in(SENTINELS)
                & ~(value < pl.col("low")).fill_null(value=False)
                & ~(value > pl.col("high")).fill_null(value=False)
            ).fill_null(value=False)
        )
        .to_series()
    )


def _native_span(parameter: str | None, unit: str | None) -> tuple[float | None, float | None]:
    """The fail span in the unit reported."""
    conversion = to_canonical(parameter, unit) if parameter and unit else None
    if parameter is None or conversion is None:
        return None, None
    scale, offset = conversion
    low, high = PARAMETERS[parameter].fail
    return (low - offset) / scale, (high - offset) / scale


def hourly_means(rows: pl.DataFrame, series: Sequence[str]) -> pl.DataFrame:
    """Means of hours, of what ended in each.

    Args:
        rows: The columns of `series`, `ends` (UTC, one row a series and moment), `hour` (the UTC
            start of the hour it belongs to), `value`, and `usable` (`usable_values`). A row is the
            mean of the time since the one before it.
        series: Columns that say what belongs together.

    Returns:
        One row a series and hour, in the order in which they first come: `series`, `hour`, `value`
        (the last one where none is usable) and `coverage`: usable rows over those that the series'
        rhythm leads to expect, at most 1. Null where rows come once an hour or less often, or in no
        rhythm.
    """
    keys = [*series, "hour"]
    value, usable = pl.col("value"), pl.col("usable")
    means = pl.coalesce(value.filter(usable).mean(), value.last()).alias("value")
    counts = rows.group_by(keys, maintain_order=True).agg(means, count=pl.len())
    if (counts["count"] == 1).all():
        return counts.select(*keys, "value", coverage=pl.lit(None, pl.Float64))
    steps = rows.sort(*series, "ends").with_columns(
        step=pl.when(
            pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in series)
        ).then(pl.col("ends").diff())
    )
    step, typical = pl.col("step"), pl.col("typical")
    rhythm = steps.group_by(series).agg(typical=step.median())
    multiple = step / typical
    in_step = (multiple - multiple.round()).abs() <= _RHYTHM_TOLERANCE
    regular = (
        steps.join(rhythm, on=series, nulls_equal=True)
        .filter(step.is_not_null())
        .group_by(series)
        .agg(typical.first(), share=(in_step & (multiple > 0.5)).mean())
        .filter(pl.col("share") >= _RHYTHM_SHARE)
    )
    own = steps.group_by(keys).agg(
        own=pl.when(pl.len() >= _OWN_RHYTHM_ROWS).then(step.median()),
        good=usable.sum(),
    )
    expected = (pl.lit(HOUR) / pl.coalesce("own", "typical")).round()
    return (
        counts.join(own, on=keys, how="left", nulls_equal=True, maintain_order="left")
        .join(regular, on=series, how="left", nulls_equal=True, maintain_order="left")
        .select(
            *keys,
            "value",
            coverage=pl.when(typical.is_not_null() & (expected > 1)).then(
                (pl.col("good") / expected).clip(0.0, 1.0)
            ),
        )
    )
