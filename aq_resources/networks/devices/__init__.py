"""Devices that push their readings: nothing is asked for, the spool is emptied.

`aq ingest` takes the readings in (`aq_serving.ingest`). A station of this network is a device, its
id `<fleet>.<device>`; what it sends that is no quantity of the air stays in `window_averages`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.devices.client import DevicesClient
from aq_resources.networks.devices.settings import (
    ATTRIBUTION,
    TITLE,
    NetworkSettings,
    jetstream_address,
    spool_folder,
)
from aq_resources.settings import Settings
from aq_resources.spool.home import Home
from aq_resources.spool.jetstream_reader import JetStreamSpool
from aq_resources.spool.reader import Spool

__all__ = [
    "ATTRIBUTION",
    "PUSHED",
    "TITLE",
    "DevicesClient",
    "NetworkSettings",
    "create",
    "open_spool",
]

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
    return DevicesClient(config, own, open_spool(settings, own), now)


def open_spool(settings: Settings, own: NetworkSettings) -> Home:
    """Where readings wait.

    Args:
        settings: The platform's settings.
        own: The network's.

    Returns:
        The end from which they are taken; nothing is opened.

    Raises:
        SettingsError: What that takes is not installed.
    """
    address = jetstream_address(own)
    return Spool(spool_folder(settings, own)) if address is None else JetStreamSpool(address)
