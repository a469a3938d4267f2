"""AirQino v3: hourly means by station, anonymous or with a Keycloak login.

Contract: `GET /v3/getStationHourlyAvg/{id}?start_date&end_date` (`YYYYmmdd-HHMM`, UTC) answers
`{header, data}`; stamps are naive UTC and mark the hour's beginning; an absent row is a missing
hour, an absent key a missing sensor. The coordinates in the header are known to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.airqino.client import AirQinoClient
from aq_resources.networks.airqino.settings import ATTRIBUTION, TITLE, NetworkSettings
from aq_resources.settings import Settings

__all__ = ["ATTRIBUTION", "TITLE", "AirQinoClient", "NetworkSettings", "create"]


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> AirQinoClient:
    """Make the client.

    Args:
        config: The network's entry in networks.yaml.
        settings: The platform's settings.
        now: Gives the time at which an answer is received.

    Returns:
        The client for the stations of the entry.

    Raises:
        SettingsError: The entry names no stations, or the login's settings are incomplete.
    """
    if not config.stations:
        raise SettingsError(
            "networks.airqino: AirQino cannot list stations by area; name them under `stations`."
        )
    return AirQinoClient(config, NetworkSettings(), settings, now)
