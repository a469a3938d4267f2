"""AirQo: calibrated hourly means by device; recent ones from the v2 measurements, older ones from
the analytics download.

Contract: `GET /api/v2/devices/measurements/{sites|devices|grids|cohorts}/{id}` answers pages of
`measurements`, of a size that `meta` states; `POST /api/v3/public/analytics/data-download`
answers pages of `data` that a cursor links, two months a call. Stamps are UTC and mark the
hour's beginning. The token travels in the query: it is put there as the request leaves, and is in
no address, answer, log line or message.

A station is a device, by name: the one identity that both interfaces know.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.airqo.client import AirQoClient
from aq_resources.networks.airqo.settings import ATTRIBUTION, TITLE, NetworkSettings
from aq_resources.settings import Settings

__all__ = ["ATTRIBUTION", "PLACES", "TITLE", "AirQoClient", "NetworkSettings", "create"]

# A device moves from site to site, and its records name the site.
PLACES = True


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> AirQoClient:
    """Make the client.

    Args:
        config: The network's entry in networks.yaml.
        settings: The platform's settings.
        now: Gives the time at which an answer is received.

    Returns:
        The client for the devices, sites, grids and cohorts of the entry.

    Raises:
        SettingsError: The entry names an area, or a station in no known form.
    """
    if config.area is not None:
        raise SettingsError(
            "networks.airqo: AirQo's stations are named under `stations`: a device's name, or "
            "`site:…`, `grid:…`, `cohort:…` with an id."
        )
    return AirQoClient(config, NetworkSettings(), settings, now)
