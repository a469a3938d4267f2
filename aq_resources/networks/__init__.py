"""Clients of the networks, one package each, found by the network's name.

A package here named `<network>` offers `create(config, settings, now)`, which returns a
`NetworkClient`, `NetworkSettings`, its settings class, `TITLE` and `ATTRIBUTION`, and where there
are tables beside the stations `DIMENSIONS`, where its records say where they were measured
`PLACES`, where its readings come by themselves `PUSHED`, and where it states one licence for all
its data `LICENCE`. Nothing else lists the networks. All have the same modules: `settings`, `client`
(what is asked for), `bodies` (what answers say) and `parse` (from answers to versions), beside
those that a network needs for itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from datetime import datetime

from aq_resources.network_client import NetworkClient
from aq_resources.network_settings import NetworkConfig
from aq_resources.settings import EnvironmentSettings, Settings

Clock = Callable[[], datetime]


def known_networks() -> tuple[str, ...]:
    """Names of the networks that have a client."""
    return tuple(
        sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    )


def settings_class(network: str) -> type[EnvironmentSettings]:
    """The settings class of one network."""
    found: type[EnvironmentSettings] = _module(network).NetworkSettings
    return found


def create_client(config: NetworkConfig, settings: Settings, now: Clock) -> NetworkClient:
    """The client of one network.

    Args:
        config: Its entry in networks.yaml.
        settings: The platform's settings.
        now: Gives the time at which an answer is received.

    Returns:
        The client, with no connection open yet.

    Raises:
        SettingsError: The entry asks for what the network cannot do.
    """
    client: NetworkClient = _module(config.name).create(config, settings, now)
    return client


def network_title(network: str) -> str:
    """The network's name as people write it."""
    return str(_module(network).TITLE)


def network_attribution(network: str) -> str:
    """Attribution of the network's data; its stations may have another besides."""
    return str(_module(network).ATTRIBUTION)


def network_licence(network: str) -> str | None:
    """The licence of all the network's data; None where it states none, or one by station."""
    found: str | None = getattr(_module(network), "LICENCE", None)
    return found


def network_dimensions(network: str) -> tuple[str, ...]:
    """Tables beside the stations that the network's client lists by `dimension`."""
    found: tuple[str, ...] = getattr(_module(network), "DIMENSIONS", ())
    return found


def network_has_places(network: str) -> bool:
    """Whether the network's records say where they were measured (`PlacedClient`)."""
    return bool(getattr(_module(network), "PLACES", False))


def network_is_pushed(network: str) -> bool:
    """Whether the network's readings come by themselves (`QueueClient`)."""
    return bool(getattr(_module(network), "PUSHED", False))


def _module(network: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"{__name__}.{network}")
