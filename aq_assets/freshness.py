"""How recent a network's readings must be, and how recent they are, found by few small reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import dagster as dg
import polars as pl

from aq_resources.network_settings import NetworkConfig
from aq_resources.stores.day_files import DayFiles

# Days without a single value are stored too: look back over so many of them.
LOOK_BACK_DAYS = 31


def allowed_silence(config: NetworkConfig) -> timedelta:
    """How old the newest readings may become."""
    return timedelta(hours=config.silent_after_hours)


def freshness_policy(config: NetworkConfig) -> dg.FreshnessPolicy:
    """Fails when nothing was materialized for as long as the network may be silent."""
    allowed = allowed_silence(config)
    return dg.FreshnessPolicy.time_window(fail_window=allowed, warn_window=allowed / 2)


def newest_hour(files: DayFiles, days: Sequence[date]) -> datetime | None:
    """The newest hour with a value in the last of `days`; None where they have none."""
    for day in reversed(days[-LOOK_BACK_DAYS:]):
        # One file at a time: nearly always the first one has it.
        rows = files.scan_days([day]).filter(pl.col("value").is_not_null())
        newest = rows.select(pl.col("hour").max()).collect().item()
        if isinstance(newest, datetime):
            return newest
    return None
