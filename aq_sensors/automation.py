"""Declarative automation: daily averages follow the hourly readings, late corrections included."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_sensors.late_data import reach
from aq_sensors.switches import sensor_status

TICK_SECONDS = 30


def look_back(revisit_days: tuple[int, ...]) -> timedelta:
    """How far back a changed day still reaches its averages: as far as days are pulled again.

    Counted from the end of today, and the averages of a local day read the UTC days beside it:
    hence the two days more.
    """
    return timedelta(days=reach(revisit_days) + 2)


def daily_condition(
    network: str, revisit_days: tuple[int, ...]
) -> dg.AutomationCondition[dg.AssetKey]:
    """Hourly readings of a day within reach were written, and no run is writing them now.

    `eager()` would look at the newest day alone, and wait for days that do not exist. What counts
    is a request since the change, not a materialization: one that was under way at the change may
    have read what was there before.
    """
    stations = dg.AssetSelection.assets([network, "stations"])
    return (
        dg.AutomationCondition.in_latest_time_window(look_back(revisit_days))
        # Not `any_deps_updated`, which forgets when: a change right after a request would be lost.
        & dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
        .ignore(stations)
        .since(dg.AutomationCondition.newly_requested())
        # The first days may be cleaned before the stations' time zones are known.
        & ~dg.AutomationCondition.any_deps_missing().allow(stations)
        & ~dg.AutomationCondition.any_deps_in_progress().ignore(stations)
        & ~dg.AutomationCondition.in_progress()
    ).with_label("hourly readings changed")


def build_automation(
    services: Services, config: NetworkConfig
) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates a network's condition."""
    return dg.AutomationConditionSensorDefinition(
        f"{config.name}_daily_averages",
        target=dg.AssetSelection.assets([config.name, "daily_averages"]),
        minimum_interval_seconds=TICK_SECONDS,
        default_status=sensor_status(services),
        description="Changed hourly readings are averaged again, up to weeks later.",
        run_tags={"network": config.name},
    )
