"""IRCELINE: Belgium's hourly means through the 52°North timeseries interface, without a login.

Contract: `GET timeseries?expanded=true` lists every series with its station, phenomenon and unit;
`POST timeseries/getData` with `{timespan, timeseries}` answers
`{id: {values: [{timestamp, value}]}}`. Stamps are epoch milliseconds and mark the hour's **end**:
`parse` takes one hour off, and nothing else does. Both ends of a time span count, so a day's
question is answered with 25 points; the first belongs to the day before and is left out.

A station may have several series of one pollutant, since instruments are replaced or run side by
side. All are pulled. The station's reading of an hour is that of the newest series (the highest id)
that has a value for it; `sensor_id` names the series (`aq_science.sensor_choice`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.irceline.client import IrcelineClient
from aq_resources.networks.irceline.settings import ATTRIBUTION, LICENCE, TITLE, NetworkSettings
from aq_resources.settings import Settings

__all__ = ["ATTRIBUTION", "LICENCE", "TITLE", "IrcelineClient", "NetworkSettings", "create"]


def create(
    config: NetworkConfig, settings: Settings, now: Callable[[], datetime]
) -> IrcelineClient:
    """Make the client.

    Args:
        config: The network's entry in networks.yaml.
        settings: The platform's settings.
        now: Gives the time at which an answer is received.

    Returns:
        The client for the stations, or the area, of the entry.
    """
    return IrcelineClient(config, NetworkSettings(), settings, now)
