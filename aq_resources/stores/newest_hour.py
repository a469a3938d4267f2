"""How recent a network's readings are, found by few small reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from aq_resources.stores.day_files import DayFiles

# Days without a single value are stored too: look back over so many of them.
LOOK_BACK_DAYS = 31


def newest_hour(files: DayFiles, days: Sequence[date]) -> datetime | None:
    """The newest hour with a value in the last of `days`; None where they have none."""
    for day in reversed(days[-LOOK_BACK_DAYS:]):
        # One file at a time: nearly always the first one has it.
        rows = files.scan_days([day]).filter(pl.col("value").is_not_null())
        newest = rows.select(pl.col("hour").max()).collect().item()
        if isinstance(newest, datetime):
            return newest
    return None
