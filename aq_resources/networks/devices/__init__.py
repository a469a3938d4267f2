"""Devices that push their readings: nothing is asked for, the spool is emptied.

`aq ingest` takes the readings in (`aq_serving.ingest`). A station of this network is a device, its
id `<fleet>.<device>`; what it sends that is no quantity of the air stays in `window_averages`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.devices.client import DevicesClient
from aq_resources.networks.devices.settings import ATTRIBUTION, TITLE, NetworkSettings, spool_folder
from aq_resources.settings import Settings
from aq_resources.spool.reader import Spool

__all__ = ["ATTRIBUTION", "PUSHED", "TITLE", "DevicesClient", "NetworkSettings", "create"]

# Its readings come by themselves, and have tables of their own.
PUSHED = True


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> DevicesClient:
    """Make the client.

    Args:
        config: The network's entry in networks.yaml.
        settings: The platform's settings.
        now: Gives the time up to which the spool was emptied.

    Returns:
        The client of the spool.

    Raises:
        SettingsError: A setting is wrong.
    """
    own = NetworkSettings()
    return DevicesClient(config, own, Spool(spool_folder(settings, own)), now)
