"""The guard that keeps the sandbox's made-up readings and real ones in different stores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlparse

from aq_resources.failures import SettingsError
from aq_resources.networks import network_is_pushed, settings_class
from aq_resources.services import Services

# The key that says that a store's readings are made up.
_MARK = "sandbox/these-readings-are-invented"
_LOCAL = {"127.0.0.1", "localhost", "::1"}


def claim_for_sandbox(services: Services) -> None:
    """Mark the object store as holding made-up readings.

    Raises:
        SettingsError: the store holds readings that the sandbox did not make.
    """
    store = services.object_store
    if store.exists(_MARK):
        return
    if store.folders(""):
        raise SettingsError(
            f"{services.settings.object_store_url} holds readings that the sandbox did not make; "
            "its invented ones must not mix with them. Set AQ_HOME to an empty folder, and leave "
            "AQ_OBJECT_STORE and AQ_WAREHOUSE unset."
        )
    store.put(_MARK, b"Made by `aq demo` or `aq up --sandbox`.\n")


def refuse_mixing(services: Services) -> None:
    """Keep real networks out of a store that holds made-up readings.

    Raises:
        SettingsError: the store is the sandbox's, and a network's address is not this machine's.
    """
    if not services.object_store.exists(_MARK):
        return
    for network in services.networks:
        if network_is_pushed(network):
            # It has no address: whoever has a key pushes.
            continue
        try:
            address = str(getattr(settings_class(network)(), "url", ""))
        except SettingsError:
            # Nothing is pulled with settings that are wrong.
            continue
        if urlparse(address).hostname not in _LOCAL:
            raise SettingsError(
                f"{services.settings.object_store_url} holds the demo's invented readings, and "
                f"{network} is set to the real {address}. Set AQ_HOME to another folder for real "
                "data (or delete this one), or add --sandbox to stay in the demo."
            )


def guarded_services() -> Services:
    """The services of the environment, unless sandbox and real data would mix."""
    services = Services.from_environment()
    refuse_mixing(services)
    return services


def use_sandbox(environment: Mapping[str, str]) -> None:
    """Point every network of this process and its children at the sandbox."""
    os.environ.update(environment)
    claim_for_sandbox(Services.from_environment())
