"""Column types that tables share, and the key of a series as one integer."""

from __future__ import annotations

import polars as pl

from aq_science.parameters import PARAMETERS

# From the best to the worst.
FLAGS = ("valid", "suspect", "invalid", "missing")

INSTANT = pl.Datetime("us", "UTC")
PARAMETER = pl.Enum(list(PARAMETERS))
UNIT = pl.Enum(sorted({p.unit for p in PARAMETERS.values()}))
FLAG = pl.Enum(FLAGS)
# What a provider says of a value.
STATUS = pl.Enum(["preliminary", "validated", "withdrawn"])

# Station and parameter in one integer, which compares and groups faster than the two columns.
# Good within a process alone: categories are numbered as they are met.
PARAMETER_SLOTS = 64
SERIES = (
    pl.col("station_id").to_physical().cast(pl.Int64) * PARAMETER_SLOTS
    + pl.col("parameter").to_physical().cast(pl.Int64)
).alias("series")
# Series and minute in one integer: minutes since 1970, with room for centuries.
MINUTE_ROOM = 1 << 32
# Series and UTC day in one integer: grouping by it costs a third of grouping by three columns.
DAY_ROOM = 1 << 24
SERIES_DAY = (SERIES * DAY_ROOM + pl.col("hour").dt.epoch("d").cast(pl.Int64)).alias("series_day")
