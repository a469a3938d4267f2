"""Does a value stand out from those before and after it."""

from __future__ import annotations

import polars as pl

from aq_science.quality.core import Criterion

_BEFORE, _AFTER = pl.col("before"), pl.col("after")


def spike(times: float, beyond: pl.Expr) -> Criterion:
    """Fires where `value > times * max(before, after, 0) + beyond`.

    `before` and `after` are the nearest other values (`runs`); where either is absent the hour is
    not judged. An episode of several hours rises and falls, so that each of its hours has another
    high one beside it; a code for "no value" or a full scale has not, even where it is repeated.

    >>> readings = pl.DataFrame(
    ...     {"value": [30.0, 985.0, 300.0], "before": [20, 30, 60], "after": [25, 35, 280]}
    ... )
    >>> readings.select(spike(5.0, pl.lit(100.0)).fires).to_series().to_list()
    [False, True, False]
    """
    beside = pl.max_horizontal(_BEFORE, _AFTER, pl.lit(0.0))
    limit = pl.when(_BEFORE.is_not_null() & _AFTER.is_not_null()).then(times * beside + beyond)
    value = pl.col("value")
    return Criterion(value > limit, value, limit)


def alone_above(high: pl.Expr, share: float) -> Criterion:
    """Fires where `value > high` and neither `before` nor `after` reaches `share * value`.

    Real smoke and smog go as high, but not for one hour out of nothing.

    >>> readings = pl.DataFrame(
    ...     {"value": [566.0, 600.0, 600.0], "before": [300, 20, None], "after": [9, 30, None]}
    ... )
    >>> readings.select(alone_above(pl.lit(500.0), 0.5).fires).to_series().to_list()
    [False, True, True]
    """
    beside = pl.max_horizontal(_BEFORE, _AFTER, pl.lit(0.0))
    value = pl.col("value")
    return Criterion((value > high) & (beside < share * value), value, high)
