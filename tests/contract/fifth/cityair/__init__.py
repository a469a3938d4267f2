"""CityAir: a network that does not exist, written by docs/adding-a-network.md.

Contract: `GET /stations` lists stations; `GET /hours/{station}?from&to` answers
`[{"hour_end", "pm25", "co"}]` within `[from, to]`, in µg/m³ and mg/m³. Stamps are UTC and mark
the hour's end. The key goes in the header `X-Key`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aq_resources.networks.cityair.client import CityAirClient
from aq_resources.networks.cityair.settings import ATTRIBUTION, TITLE, NetworkSettings

from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.settings import Settings

__all__ = ["ATTRIBUTION", "TITLE", "CityAirClient", "NetworkSettings", "create"]


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> CityAirClient:
    """Make the client.

    Args:
        config: The network's entry in networks.yaml.
        settings: The platform's settings.
        now: Gives the time at which an answer is received.

    Returns:
        The client for the stations of the entry.

    Raises:
        SettingsError: The entry names no stations.
    """
    if not config.stations:
        raise SettingsError("networks.cityair: name its stations under `stations`.")
    return CityAirClient(config, NetworkSettings(), settings, now)
