"""Do the two channels of one instrument agree."""

from __future__ import annotations

import polars as pl

from aq_science.quality.core import Criterion

# The US EPA leaves out an hour whose channels differ by more than both (Fire and Smoke Map;
# Barkjohn et al., AMT 14, 4617, 2021).
APART, APART_SHARE = 5.0, 0.7


def channels_apart(one: float, other: float) -> float | None:
    """How often two channels (µg/m³) are as far apart as they may be; None where they agree.

    They agree where they differ by at most `APART` or by at most `APART_SHARE` of their mean.

    >>> channels_apart(46.64, 46.77), channels_apart(0.0, 4.0), channels_apart(0.0, 40.0)
    (None, None, 2.857142857142857)
    """
    difference = abs(one - other)
    share = APART_SHARE * abs(one + other) / 2
    times = min(difference / APART, difference / share if share else float("inf"))
    return times if times > 1 else None


def two_channels() -> Criterion:
    """Fires where `channels_apart` is more than 1.

    >>> readings = pl.DataFrame({"channels_apart": [None, 2.9]})
    >>> readings.select(two_channels().fires).to_series().to_list()
    [None, True]
    """
    apart = pl.col("channels_apart")
    return Criterion(apart > 1.0, apart, pl.lit(1.0))
