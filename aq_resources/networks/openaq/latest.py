"""The latest values of each parameter: an hour of many sensors in a handful of requests."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime

from aq_resources.http.client import concurrently
from aq_resources.network_client import Pull
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.bodies import zulu
from aq_resources.networks.openaq.locations import Sensor
from aq_resources.networks.openaq.newest import latest_hour
from aq_science.windows import HOUR, Window

# How old a latest value may be.
LATEST_WITHIN = 6 * HOUR


def pull_latest(
    api: Api, sensors: Sequence[Sensor], part: Window, now: datetime, workers: int
) -> Generator[Pull, None, datetime | None]:
    """Pull the latest value of every sensor.

    Args:
        api: OpenAQ's interface.
        sensors: The sensors wanted.
        part: The window that the answers are kept for.
        now: The time.
        workers: How many requests may be on their way at once.

    Returns:
        One outcome a page, and in the end the newest hour among the sensors.
    """
    since = now.replace(minute=0, second=0, microsecond=0) - LATEST_WITHIN
    params = {"datetime_min": zulu(since)}
    numbers = sorted({s.parameter_id for s in sensors if s.parameter_id is not None})
    ours = {sensor.sensor_id for sensor in sensors}
    hours = []
    for pulls in concurrently(
        lambda number: list(
            api.pages(f"latest of parameter {number}", f"/parameters/{number}/latest", params, part)
        ),
        numbers,
        workers,
    ):
        hours += [latest_hour(pull, Window(since, now), ours) for pull in pulls]
        yield from pulls
    return max((hour for hour in hours if hour is not None), default=None)
