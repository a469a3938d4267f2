"""Whether sensors and schedules start switched on; afterwards their switch in the UI counts."""

from __future__ import annotations

import dagster as dg

from aq_resources.services import Services


def sensor_status(services: Services) -> dg.DefaultSensorStatus:
    """How a sensor starts, by `AQ_SENSORS`."""
    status = dg.DefaultSensorStatus
    return status.RUNNING if services.settings.sensors else status.STOPPED


def schedule_status(services: Services) -> dg.DefaultScheduleStatus:
    """How a schedule starts, by `AQ_SENSORS`."""
    status = dg.DefaultScheduleStatus
    return status.RUNNING if services.settings.sensors else status.STOPPED
