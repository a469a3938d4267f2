"""Is a value below zero noise, or a code."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from aq_science.quality.core import Criterion

_VALUE, _NATIVE = pl.col("value"), pl.col("value_native")


def negative(signed: Collection[str]) -> Criterion:
    """Fires where `value < 0` and `parameter` is not in `signed`.

    >>> readings = pl.DataFrame({"parameter": ["co", "temperature"], "value": [-0.1, -0.1]})
    >>> readings.select(negative(["temperature"]).fires).to_series().to_list()
    [True, False]
    """
    return Criterion(
        (_VALUE < 0) & ~pl.col("parameter").is_in(list(signed)), _VALUE, pl.lit(0.0, pl.Float64)
    )


def negative_code(signed: Collection[str], times: float) -> Criterion:
    """Fires on a whole negative number far below its neighbours, such as -1 among values of 30.

    That is where `value_native` is a negative integer, `parameter` is not in `signed`, and `before`
    and `after` (`runs`; one of them is enough) are both at least `times * -value`. Noise around
    zero has small values beside it.

    >>> readings = pl.DataFrame(
    ...     {
    ...         "parameter": ["pm25", "pm25", "pm25"],
    ...         "value": [-1.0, -1.0, -1.2],
    ...         "value_native": [-1.0, -1.0, -1.2],
    ...         "before": [30.0, 3.0, 30.0],
    ...         "after": [None, 30.0, 30.0],
    ...     }
    ... )
    >>> readings.select(negative_code(["temperature"], 10.0).fires).to_series().to_list()
    [True, False, False]
    """
    limit = pl.min_horizontal("before", "after") / -times
    return Criterion(
        (_NATIVE < 0)
        & (_NATIVE.round() == _NATIVE)
        & ~pl.col("parameter").is_in(list(signed))
        & (_VALUE < 0)
        & (limit <= _VALUE),
        _VALUE,
        limit,
    )
