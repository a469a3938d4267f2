"""A quality test that does not exist, as one module: nothing else of the project knows it."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from aq_science.quality.core import Criterion, QualityTest

BEFORE, AFTER = timedelta(hours=3), timedelta(hours=2)
_SERIES = ("station_id", "parameter")


def spike(height: float) -> Criterion:
    """Fires where `value` is more than `height` above all values of 3 h before and 2 h after it."""
    value, hour = pl.col("value"), pl.col("hour").dt.epoch("s")
    before = value.rolling_max_by(hour, f"{BEFORE.seconds}i", closed="left").over(_SERIES)
    after = value.rolling_max_by(-hour, f"{AFTER.seconds}i", closed="left").over(_SERIES)
    above = value - pl.max_horizontal(before, after)
    return Criterion(above > height, above, pl.lit(height))


SPIKE = QualityTest("made_up", {"suspect": spike(10.0)}, before=BEFORE, after=AFTER)
