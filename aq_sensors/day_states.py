"""How far each finished day has come, by Dagster's event log, and which days runs work on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import dagster as dg

from aq_assets.partitions import partition_window
from aq_assets.raw_pulls import PULLED_AT, UNANSWERED
from aq_resources.network_settings import NetworkConfig
from aq_science.windows import DAY

# An earlier version noted an instant as a number.
_NUMBERS = (dg.TimestampMetadataValue, dg.FloatMetadataValue, dg.IntMetadataValue)


@dataclass(frozen=True)
class DayState:
    """What is known of a day: when it was last pulled, and how far that has come."""

    pulled_at: datetime | None = None
    unanswered: int = 0
    cleaned: bool = False
    averaged: bool = True
    # Storage id of the last pull: another pull makes the next request another one.
    version: int = 0


def day_states(
    instance: dg.DagsterInstance, config: NetworkConfig, now: datetime, days_back: int
) -> dict[date, DayState]:
    """The state of every finished day that may still be pulled again.

    Args:
        instance: Dagster's instance, whose event log is read.
        config: The network's entry in networks.yaml; no day before its start is returned.
        now: The time of this tick, UTC.
        days_back: How many finished days to look at.

    Returns:
        The state of each day, by UTC date.
    """
    days = [now.date() - n * DAY for n in range(1, days_back + 1)]
    keys = {day.isoformat() for day in days if day >= config.start_date}
    raw = dg.AssetKey([config.name, "raw_pulls"])
    pulled = _newest_by_day(instance, raw, keys)
    cleaned = _newest_by_day(instance, dg.AssetKey([config.name, "hourly_readings"]), keys)
    averaged = _newest_by_day(instance, dg.AssetKey([config.name, "daily_averages"]), keys)
    metadata = _metadata(instance, raw, list(pulled.values()))
    states = {}
    for key in keys:
        version = pulled.get(key, 0)
        found = metadata.get(version, {})
        states[date.fromisoformat(key)] = DayState(
            _instant(found.get(PULLED_AT)) if version else None,
            int(_number(found.get(UNANSWERED))),
            cleaned.get(key, 0) > version,
            averaged.get(key, 0) > cleaned.get(key, 0),
            version,
        )
    return states


def _newest_by_day(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: set[str]
) -> Mapping[str, int]:
    return instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, partitions
    )


def _metadata(
    instance: dg.DagsterInstance, key: dg.AssetKey, storage_ids: list[int]
) -> dict[int, Mapping[str, dg.MetadataValue]]:
    """Metadata of the materializations with these storage ids."""
    if not storage_ids:
        return {}
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(key, storage_ids=storage_ids), limit=len(storage_ids)
    )
    return {
        record.storage_id: record.asset_materialization.metadata
        for record in found.records
        if record.asset_materialization is not None
    }


def _instant(value: dg.MetadataValue | None) -> datetime:
    """When the day was pulled; long ago for a pull recorded before that was noted."""
    return datetime.fromtimestamp(_number(value), UTC)


def _number(value: dg.MetadataValue | None) -> float:
    return float(value.value) if isinstance(value, _NUMBERS) and value.value is not None else 0.0


def busy_days(runs: Iterable[dg.DagsterRun], network: str) -> frozenset[date]:
    """Days of a network that unfinished runs pull or clean, whoever started them."""
    jobs = {f"{network}_{job}" for job in ("readings", "pull", "refresh")}
    assets = {dg.AssetKey([network, name]) for name in ("raw_pulls", "hourly_readings")}
    days: set[date] = set()
    for run in runs:
        if run.job_name not in jobs and not assets & (run.asset_selection or frozenset()):
            continue
        if window := partition_window(run.tags):
            days.update(window.dates)
    return frozenset(days)
