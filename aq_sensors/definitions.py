"""Every sensor and schedule of the platform."""

from __future__ import annotations

import dagster as dg

from aq_resources.networks import network_is_pushed
from aq_resources.services import Services
from aq_sensors.alerts.sensor import build_alerts
from aq_sensors.automation import build_automation
from aq_sensors.forecasts import build_forecasts_sensor
from aq_sensors.late_data import abandoned_days, build_late_data
from aq_sensors.new_readings import build_new_readings
from aq_sensors.nightly import build_nightly, build_revisions_schedule, build_upkeep_schedule
from aq_sensors.pushed_readings import build_drain
from aq_sensors.requests import Jobs


def build_sensors(services: Services, jobs: Jobs) -> dg.Definitions:
    """Sensors and schedules over `jobs`, by name."""
    networks = services.networks.values()
    sensors: list[dg.SensorDefinition] = [
        build_late_data(services, jobs),
        build_alerts(services, abandoned_days),
    ]
    for config in networks:
        sensors += [
            build_new_readings(services, config, jobs),
            build_automation(services, config),
            build_forecasts_sensor(services, config, jobs),
        ]
        if network_is_pushed(config.name):
            sensors.append(build_drain(services, config, jobs))
    return dg.Definitions(
        sensors=sensors,
        schedules=[
            *(build_nightly(services, config, jobs) for config in networks),
            *(build_revisions_schedule(services, config, jobs) for config in networks),
            build_upkeep_schedule(services, jobs),
        ],
    )
