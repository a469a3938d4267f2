"""Keys of hours and of days, written and read by addition.

Dagster finds each partition from the one before by a cron expression, and takes every key through
`strptime` and `strftime`. The UI's page of ten years of hours does that half a million times. Where
partitions lie a fixed step of UTC apart the same follows by addition, in a seventh of the time or
less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import TimeWindow, TimeWindowPartitionsDefinition
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.subset import TimeWindowPartitionsSubset

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001

# Dagster's own, for all other partitions.
_all_keys = TimeWindowPartitionsDefinition.get_partition_keys
_valid_keys = TimeWindowPartitionsDefinition.filter_valid_partition_keys
_with_keys = TimeWindowPartitionsSubset.with_partition_keys


def install() -> None:
    """Let this process's Dagster work by addition. The results are the same."""
    for owner, name, quick in (
        (TimeWindowPartitionsDefinition, "get_partition_keys", all_keys),
        (TimeWindowPartitionsDefinition, "filter_valid_partition_keys", valid_keys),
        (TimeWindowPartitionsSubset, "with_partition_keys", with_keys),
    ):
        setattr(owner, name, quick)


@dataclass(frozen=True)
class _Grid:
    """Partitions from `first` to `last`, both included: starts without zone, in UTC."""

    step: timedelta
    first: datetime
    last: datetime
    key_length: int

    def key(self, start: datetime) -> str:
        return start.isoformat("-", "minutes")[: self.key_length]

    def start(self, key: str) -> datetime | None:
        """The start that a key says; None for what is no key of this form."""
        try:
            start = datetime.fromisoformat(key)
        except ValueError:
            return None
        return start if self.key(start) == key else None

    def begins(self, start: datetime) -> bool:
        return not (start - _EPOCH) % self.step

    def holds(self, start: datetime) -> bool:
        return self.first <= start <= self.last


def _grid(definition: TimeWindowPartitionsDefinition) -> _Grid | None:
    """The partitions of hours or days of UTC that are open to the present; None for others."""
    if definition.is_basic_hourly and definition.fmt == "%Y-%m-%d-%H:%M":
        step = _HOUR
    elif definition.is_basic_daily and definition.fmt == "%Y-%m-%d":
        step = _DAY
    else:
        return None
    if definition.timezone != "UTC" or definition.end_ts or definition.end_offset < 0:
        return None
    first, last = definition.get_first_partition_window(), definition.get_last_partition_window()
    if first is None or last is None:
        return None
    key_length = len("2024-03-01-00:00" if step == _HOUR else "2024-03-01")
    return _Grid(step, _naive(first.start), _naive(last.start), key_length)


def all_keys(
    definition: TimeWindowPartitionsDefinition,
    current_time: datetime | None = None,
    dynamic_partitions_store: object = None,
) -> Sequence[str]:
    """Every key, oldest first: `TimeWindowPartitionsDefinition.get_partition_keys`.

    Args:
        definition: The partitions.
        current_time: Up to when there are partitions; None for the present.
        dynamic_partitions_store: As Dagster hands it over; of no use to partitions of time.

    Returns:
        The keys.
    """
    with partition_loading_context(current_time, dynamic_partitions_store):  # type: ignore[arg-type]
        grid = _grid(definition)
        if grid is None:
            return _all_keys(definition)
    count = (grid.last - grid.first) // grid.step + 1
    return [grid.key(grid.first + number * grid.step) for number in range(count)]


def valid_keys(definition: TimeWindowPartitionsDefinition, keys: set[str]) -> AbstractSet[str]:
    """Those that are keys of partitions: `filter_valid_partition_keys`."""
    grid = _grid(definition)
    if grid is None:
        return _valid_keys(definition, keys)
    return {key for key in keys if (start := grid.start(key)) is not None and grid.holds(start)}


def with_keys(
    subset: TimeWindowPartitionsSubset, keys: Iterable[str], *, validate: bool = True
) -> TimeWindowPartitionsSubset:
    """The subset with these partitions: `TimeWindowPartitionsSubset.with_partition_keys`.

    Args:
        subset: Partitions.
        keys: Keys of more of them.
        validate: Whether those are left out that no partition has.

    Returns:
        Both together.
    """
    keys = list(keys)
    grid = _grid(subset.partitions_def)
    starts = {grid.start(key) for key in keys} if grid else set()
    if grid is None or not all(start and grid.begins(start) for start in starts):
        return _with_keys(subset, keys, validate=validate)
    windows: list[tuple[datetime, datetime]] = []
    for start in sorted(filter(None, starts)):
        if validate and not grid.holds(start):
            continue
        began = windows.pop()[0] if windows and windows[-1][1] == start else start
        windows.append((began, start + grid.step))
    added = TimeWindowPartitionsSubset(
        subset.partitions_def,
        None,
        [TimeWindow(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)) for start, end in windows],
    )
    return subset | added  # type: ignore[return-value]


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
