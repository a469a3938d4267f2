"""Every sensor and schedule of the platform."""

from __future__ import annotations

import dagster as dg

from aq_resources.platform import Platform
from aq_sensors.alerts import build_alerts
from aq_sensors.automation import build_automation
from aq_sensors.forecasts import build_forecasts_sensor
from aq_sensors.late_data import build_late_data, given_up_days
from aq_sensors.new_readings import build_new_readings
from aq_sensors.nightly import build_nightly, build_upkeep_schedule
from aq_sensors.shell import Jobs


def build_sensors(platform: Platform, jobs: Jobs) -> dg.Definitions:
    """Sensors and schedules over ``jobs``, by name."""
    networks = platform.networks.values()
    sensors: list[dg.SensorDefinition] = [
        build_late_data(platform, jobs),
        build_alerts(platform, given_up_days),
    ]
    for config in networks:
        sensors += [
            build_new_readings(platform, config, jobs),
            build_automation(platform, config),
            build_forecasts_sensor(platform, config, jobs),
        ]
    return dg.Definitions(
        sensors=sensors,
        schedules=[
            *(build_nightly(platform, config, jobs) for config in networks),
            build_upkeep_schedule(platform, jobs),
        ],
    )
