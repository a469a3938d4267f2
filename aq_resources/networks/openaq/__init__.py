"""OpenAQ v3: hourly means by sensor, with a key, and the public archive of daily files, without.

Contract: `GET /v3/sensors/{id}/hours` answers rows whose stamps mark the hour's end, for a window
that leaves out its beginning and includes its end. An answer names neither station nor, in
`latest`, parameter: both come from the locations, whose answers are kept beside the readings.

Of several sensors of a station and parameter one speaks for each hour: one that reports in the
canonical unit before others, then the newest, by its number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.openaq.client import OpenAQClient
from aq_resources.networks.openaq.dimensions import DIMENSIONS
from aq_resources.networks.openaq.settings import (
    ATTRIBUTION,
    TITLE,
    WITHOUT_KEY,
    NetworkSettings,
)
from aq_resources.settings import Settings

__all__ = ["ATTRIBUTION", "DIMENSIONS", "TITLE", "NetworkSettings", "OpenAQClient", "create"]


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> OpenAQClient:
    """Make the client.

    Args:
        config: The network's entry in networks.yaml.
        settings: The platform's settings.
        now: Gives the time at which an answer is received.

    Returns:
        The client for the stations, or the area, of the entry.

    Raises:
        SettingsError: A station is no number, or an area is to be listed without a key.
    """
    for station in config.stations:
        if not station.isdecimal():
            raise SettingsError(
                f"networks.openaq: station {station!r} is no id of an OpenAQ location, which is a "
                "number such as 2178 (the address of its page on explore.openaq.org shows it)."
            )
    own = NetworkSettings()
    if config.area is not None and own.archive_alone:
        raise SettingsError(
            "networks.openaq: without a key the stations of an area cannot be listed. "
            f"{WITHOUT_KEY} Or name stations."
        )
    return OpenAQClient(config, own, settings, now)
