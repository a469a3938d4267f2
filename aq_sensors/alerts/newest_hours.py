"""The newest hour of every network: one that nothing runs for is silent too."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_assets.freshness import allowed_silence
from aq_resources.failures import PlatformFailure
from aq_resources.services import Services
from aq_resources.stores.newest_hour import newest_hour
from aq_science.freshness import is_recent
from aq_sensors.alerts.evidence import NewestHour
from aq_sensors.alerts.state import AlertState
from aq_sensors.time_limit import within

STORE_SECONDS = 4.0


def read_newest_hours(
    services: Services, state: AlertState, problems: list[str]
) -> list[NewestHour]:
    """The newest hour of every network that can be looked at.

    The store is asked only where the last one known is old.

    Args:
        services: Stores, networks and clock.
        state: Has the newest hours known so far; newer ones are added.
        problems: A store that does not answer is added, in a sentence.

    Returns:
        The newest hours, without those of networks that could not be looked at.
    """
    now = services.now()
    allowed = {name: allowed_silence(config) for name, config in services.networks.items()}
    old = [n for n, wait in allowed.items() if not is_recent(state.newest.get(n), now, wait)]
    unknown = set(old)

    def look() -> dict[str, datetime | None]:
        found = {}
        for name in old:
            known = state.newest.get(name)
            files = services.files.day_files(name, "hourly_readings")
            newest = newest_hour(files, files.days(known.date() if known else None))
            found[name] = newest or known
        return found

    if old:
        try:
            for name, newest in within(STORE_SECONDS, look).items():
                unknown.discard(name)
                if newest is not None:
                    state.newest[name] = newest
        except (PlatformFailure, OSError, pl.exceptions.PolarsError) as error:
            # The runs that fail report a store that does not answer.
            problems.append(f"The newest hours cannot be read: {error}")
    return [
        NewestHour(name, state.newest.get(name), wait)
        for name, wait in allowed.items()
        if name not in unknown
    ]
