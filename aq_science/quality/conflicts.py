"""Does the source agree with itself: an hour that one answer gave more than once."""

from __future__ import annotations

import polars as pl

from aq_science.quality.core import NOTHING, Criterion


def duplicate_hour() -> Criterion:
    """Fires where `duplicate` is true: one answer gave the hour twice, of which the last stands.

    >>> readings = pl.DataFrame({"duplicate": [True, False]})
    >>> readings.select(duplicate_hour().fires).to_series().to_list()
    [True, False]
    """
    return Criterion(pl.col("duplicate"), pl.col("value"), NOTHING)
