"""Which partitions a run covers: Dagster's tags for them, written and read in one place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from aq_resources.io_managers import HOUR_KEY
from aq_science.windows import HOUR, Window

PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def partition_or_range(first: str, last: str) -> tuple[str | None, dict[str, str]]:
    """Partition key and tags of one run over ``first`` to ``last``, both included."""
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
