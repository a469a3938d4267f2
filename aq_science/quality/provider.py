"""What the provider itself says of a value."""

from __future__ import annotations

import polars as pl

from aq_science.quality.core import NOTHING, Criterion


def provider_flag() -> Criterion:
    """Fires where `provider_flag` is true: the provider doubts the value.

    >>> readings = pl.DataFrame({"provider_flag": [True, False, None], "value": [1.0, 2.0, 3.0]})
    >>> readings.select(provider_flag().fires).to_series().to_list()
    [True, False, None]
    """
    return Criterion(pl.col("provider_flag"), pl.col("value"), NOTHING)


def withdrawn() -> Criterion:
    """Fires where `status` is `withdrawn`: the provider took the value back.

    >>> from aq_science.tables.types import STATUS
    >>> status = pl.Series("status", ["withdrawn", "validated", None], dtype=STATUS)
    >>> pl.DataFrame([status]).select(withdrawn().fires).to_series().to_list()
    [True, False, None]
    """
    return Criterion(pl.col("status") == "withdrawn", NOTHING, NOTHING)
