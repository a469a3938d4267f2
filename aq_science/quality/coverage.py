"""Was enough of the hour measured for its mean to stand for it."""

from __future__ import annotations

import polars as pl

from aq_science.quality.core import Criterion


def coverage(least: float) -> Criterion:
    """Fires where `coverage < least`; an unknown coverage is not judged.

    >>> readings = pl.DataFrame({"coverage": [0.74, 0.75, None]})
    >>> readings.select(coverage(0.75).fires).to_series().to_list()
    [True, False, None]
    """
    return Criterion(pl.col("coverage") < least, pl.col("coverage"), pl.lit(least, pl.Float64))
