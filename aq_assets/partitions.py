"""Partitions of the chain, which of them a run covers, and Dagster's tags that say so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import dagster as dg

from aq_resources.io_managers import HOUR_KEY
from aq_resources.network_settings import NetworkConfig
from aq_science.windows import HOUR, Window

PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

# The whole range of a backfill is one run; the assets work through it in chunks.
ONE_RUN = dg.BackfillPolicy.single_run()


def daily_partitions(config: NetworkConfig) -> dg.DailyPartitionsDefinition:
    """UTC days from the network's start to today, the day in progress included."""
    return dg.DailyPartitionsDefinition(config.start_date.isoformat(), timezone="UTC", end_offset=1)


def hourly_partitions(config: NetworkConfig) -> dg.HourlyPartitionsDefinition:
    """Issue times from the network's start to the present hour, the hour in progress included."""
    return dg.HourlyPartitionsDefinition(
        f"{config.start_date.isoformat()}-00:00", timezone="UTC", end_offset=1
    )


def windows_around(before: int, after: int) -> dg.TimeWindowPartitionMapping:
    """The upstream windows from `before` partitions earlier to `after` partitions later."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-before, end_offset=after, allow_nonexistent_upstream_partitions=True
    )


def window_of(context: dg.AssetExecutionContext) -> Window:
    """The UTC window of the run's partitions: one key or a range."""
    asked = context.partition_time_window
    return Window(asked.start, asked.end)


def partition_or_range(first: str, last: str) -> tuple[str | None, dict[str, str]]:
    """Partition key and tags of one run over `first` to `last`, both included."""
    if first == last:
        return first, {}
    return None, {RANGE_START: first, RANGE_END: last}


def partition_range(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """First and last partition key of a run by its tags; None for a run without partitions."""
    first, last = tags.get(RANGE_START), tags.get(RANGE_END)
    if first is None or last is None:
        first = last = tags.get(PARTITION)
    return None if first is None or last is None else (first, last)


def partition_window(tags: Mapping[str, str]) -> Window | None:
    """The window of a run's partitions (UTC days or hours); None where it has none of ours."""
    keys = partition_range(tags)
    if keys is None:
        return None
    try:
        first, last = map(_of_key, keys)
    except ValueError:
        return None
    return Window(first.start, last.end)


def _of_key(key: str) -> Window:
    if len(key) == len("2024-03-01"):
        day = date.fromisoformat(key)
        return Window.of_days(day, day)
    start = datetime.strptime(f"{key}+0000", f"{HOUR_KEY}%z")
    return Window(start, start + HOUR)
