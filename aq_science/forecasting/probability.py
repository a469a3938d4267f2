"""How likely a forecast is to pass a level, by its intervals."""

from __future__ import annotations

import itertools
import math

import polars as pl

# Share of the distribution above each bound; the value is taken as the median.
_ABOVE = (("lower_95", 0.975), ("lower_80", 0.9), ("value", 0.5), ("upper_80", 0.1))
_ABOVE_95 = 0.025
# From the end of the 80 % interval to that of the 95 % one the share falls to a quarter; as much
# again over every such distance beyond.
_TAIL = math.log(0.1 / _ABOVE_95)


def probability_above(level: pl.Expr) -> pl.Expr:
    """Probability that the predicted hour is above a level.

    Linear between the value and the bounds, and falling off evenly beyond the 95 % interval.

    Args:
        level: In the unit of the forecasts.

    Returns:
        From 0 to 1, from the columns `value`, `lower_80`, `upper_80`, `lower_95` and `upper_95`;
        null where the value or the level is.
    """
    bounds = [*_ABOVE, ("upper_95", _ABOVE_95)]
    found = _tail(level - pl.col("upper_95"), pl.col("upper_95") - pl.col("upper_80"))
    for (low, above_low), (high, above_high) in reversed(list(itertools.pairwise(bounds))):
        width = pl.col(high) - pl.col(low)
        part = pl.when(width > 0).then((level - pl.col(low)) / width).otherwise(0.0)
        between = above_low + (above_high - above_low) * part
        found = pl.when(level < pl.col(high)).then(between).otherwise(found)
    below = pl.col("lower_95") - level
    lowest = 1 - _tail(below, pl.col("lower_80") - pl.col("lower_95"))
    found = pl.when(below > 0).then(lowest).otherwise(found)
    return pl.when(pl.col("value").is_not_null() & level.is_not_null()).then(found)


def _tail(beyond: pl.Expr, width: pl.Expr) -> pl.Expr:
    """Share beyond a distance outside the 95 % interval; `width` is from the 80 % end to its."""
    outside = pl.when(width > 0).then(_ABOVE_95 * (-_TAIL * beyond / width).exp()).otherwise(0.0)
    return pl.when(beyond > 0).then(outside).otherwise(_ABOVE_95)
