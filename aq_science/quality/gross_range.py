"""Is the value physically possible: QARTOD's gross range test, with a fail and a suspect span."""

from __future__ import annotations

import polars as pl

from aq_science.quality.core import Criterion


def gross_range(low: pl.Expr, high: pl.Expr) -> Criterion:
    """Fires where `value < low` or `value > high`; both bounds are inside.

    `low` and `high` are in the canonical unit of the row's parameter.

    >>> readings = pl.DataFrame({"value": [-11.0, -10.0, 500.0, 600.0]})
    >>> readings.select(gross_range(pl.lit(-10.0), pl.lit(500.0)).fires).to_series().to_list()
    [True, False, False, True]
    """
    value = pl.col("value")
    return Criterion(
        (value < low) | (value > high), value, pl.when(value < low).then(low).otherwise(high)
    )
