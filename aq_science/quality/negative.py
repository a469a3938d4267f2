"""Is the value below zero where the quantity cannot be."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from aq_science.quality.core import Criterion


def negative(signed: Collection[str]) -> Criterion:
    """Fires where `value < 0` and `parameter` is not in `signed`.

    >>> readings = pl.DataFrame({"parameter": ["co", "temperature"], "value": [-0.1, -0.1]})
    >>> readings.select(negative(["temperature"]).fires).to_series().to_list()
    [True, False]
    """
    value = pl.col("value")
    return Criterion(
        (value < 0) & ~pl.col("parameter").is_in(list(signed)), value, pl.lit(0.0, pl.Float64)
    )
