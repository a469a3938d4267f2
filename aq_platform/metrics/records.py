"""Measurements of Dagster's other records: sensors, daemon, assets, late days, incidents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

import dagster as dg
from prometheus_client.metrics_core import Metric

from aq_assets.raw_pulls import UNANSWERED
from aq_resources.metrics.collector import Measure, gauge
from aq_resources.services import Services
from aq_sensors.alerts.incidents import KINDS
from aq_sensors.alerts.sensor import NAME as ALERTS
from aq_sensors.alerts.state import AlertState
from aq_sensors.cursors import read_cursor
from aq_sensors.day_states import day_states
from aq_sensors.late_data import NAME as LATE_DATA
from aq_sensors.late_data import BackfillState, Kind, reach, repull_reason

# Of the newest materialization, by asset: what its metadata count, and the metric that has it.
_COUNTED = (
    (
        "raw_pulls",
        UNANSWERED,
        "aq_pull_unanswered",
        "Stations that the newest pull had no answer of and that another may bring",
    ),
    (
        "raw_pulls",
        "failed_subjects",
        "aq_pull_failed",
        "Stations that the newest pull had no answer of, whatever the reason",
    ),
    (
        "hourly_readings",
        "malformed_records",
        "aq_malformed_records",
        "Records that the newest run could not read",
    ),
)


def dagster_records(instance: dg.DagsterInstance, services: Services) -> Measure:
    """Sensors, daemon, assets, late days and incidents, by a bounded number of small reads."""
    return partial(_measure, instance, services)


def _measure(instance: dg.DagsterInstance, services: Services) -> Iterator[Metric]:
    yield from _daemons(instance)
    yield from _instigators(instance, services)
    yield from _assets(instance, services)
    yield from _late_days(instance, services)


def _daemons(instance: dg.DagsterInstance) -> Iterator[Metric]:
    beat = gauge(
        "aq_daemon_heartbeat_timestamp_seconds",
        "Newest sign of life of a part of Dagster's daemon, Unix time",
        ["daemon"],
    )
    for name, status in instance.get_daemon_statuses().items():
        if status.last_heartbeat is not None:
            beat.add_metric([name], status.last_heartbeat.timestamp)
    yield beat


def _instigators(instance: dg.DagsterInstance, services: Services) -> Iterator[Metric]:
    ticks = gauge(
        "aq_sensor_tick_timestamp_seconds",
        "When a sensor that is switched on last ran, Unix time",
        ["sensor"],
    )
    incidents = gauge(
        "aq_incidents", "Open incidents, as the alerts tell of them, by kind", ["kind"]
    )
    abandoned = gauge("aq_abandoned_days", "Days that are not pulled any more", ["network"])
    open_now: Counter[str] = Counter()
    given_up = dict.fromkeys(services.networks, 0)
    for state in instance.all_instigator_state():
        data = state.instigator_data
        cursor = getattr(data, "cursor", None)
        tick = getattr(data, "last_tick_timestamp", None)
        if tick and state.is_running:
            ticks.add_metric([state.instigator_name], tick)
        if state.instigator_name == ALERTS:
            found = read_cursor(cursor, AlertState).incidents
            open_now.update(
                kind for key in found for begin, kind in KINDS.items() if key.startswith(begin)
            )
        if state.instigator_name == LATE_DATA:
            for name, kept in read_cursor(cursor, dict[str, BackfillState]).items():
                given_up[name] = len(kept.abandoned)
    for kind in KINDS.values():
        incidents.add_metric([kind], open_now[kind])
    for name, count in given_up.items():
        abandoned.add_metric([name], count)
    yield from (ticks, incidents, abandoned)


def _assets(instance: dg.DagsterInstance, services: Services) -> Iterator[Metric]:
    made = gauge(
        "aq_asset_materialized_timestamp_seconds",
        "When the asset was last materialized, Unix time",
        ["network", "asset"],
    )
    counted = [(*entry[:2], gauge(*entry[2:], ["network"])) for entry in _COUNTED]
    for record in instance.get_asset_records():
        event = record.asset_entry.last_materialization_record
        network, _, asset = record.asset_entry.asset_key.to_user_string().rpartition("/")
        if event is None:
            continue
        made.add_metric([network, asset], event.timestamp)
        materialization = event.asset_materialization
        metadata = materialization.metadata if materialization else {}
        for name, key, family in counted:
            if asset == name and network in services.networks and key in metadata:
                family.add_metric([network], _number(metadata, key))
    yield made
    yield from (family for _, _, family in counted)


def _number(metadata: Mapping[str, dg.MetadataValue], key: str) -> float:
    value = metadata[key].value
    return float(value) if isinstance(value, int | float) else 0.0


def _late_days(instance: dg.DagsterInstance, services: Services) -> Iterator[Metric]:
    late = gauge(
        "aq_late_days", "Finished days that are to be pulled again, by why", ["network", "reason"]
    )
    now, revisit = services.now(), services.settings.revisit_days
    for name, config in services.networks.items():
        states = day_states(instance, config, now, reach(revisit))
        reasons = [repull_reason(day, state, now, revisit) for day, state in states.items()]
        counts = Counter(reason.kind for reason in reasons if reason is not None)
        for kind in Kind:
            late.add_metric([name, kind.value], counts[kind])
    yield late
