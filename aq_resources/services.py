"""The wiring: stores, networks and clock, made once from the settings, as one resource."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from aq_resources.attribution import station_attributions
from aq_resources.clock import Clock, open_clock, system_clock
from aq_resources.experiments import ExperimentLog, open_experiments
from aq_resources.failures import PermanentFailure, SettingsError
from aq_resources.folders import refuse_unusable
from aq_resources.network_client import NetworkClient
from aq_resources.network_settings import NetworkConfig, networks_path, read_networks
from aq_resources.networks import (
    create_client,
    known_networks,
    network_dimensions,
    network_has_places,
    network_is_pushed,
)
from aq_resources.settings import Settings
from aq_resources.stores.object_store import ObjectStore, open_object_store
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.core import Table
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.network_models import NETWORK_MODELS
from aq_science.tables.registry import OF_DEVICES, SOME_HAVE, WAREHOUSE_TABLES
from aq_science.tables.station_places import STATION_PLACES

if TYPE_CHECKING:
    from aq_resources.io_managers import ObjectStoreIOManager


@dataclass
class Services:
    """What assets, checks and sensors work with. Nothing is opened before it is used.

    Attributes:
        settings: The environment's.
        networks: The enabled networks by name.
        now: The only clock, UTC: it stamps what is received and issued, and decides nothing else.
        invalid_networks: By network, the mistakes in its entry of networks.yaml, for which it is
            left out.
    """

    settings: Settings
    networks: dict[str, NetworkConfig]
    now: Clock = system_clock
    invalid_networks: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, NetworkClient] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, now: Clock | None = None) -> Services:
        """As the environment's settings describe them; `now` replaces AQ_CLOCK."""
        settings = Settings()
        refuse_unusable(settings.home)
        networks, invalid = read_networks(networks_path(settings.networks), known_networks())
        return cls(settings, networks, now or open_clock(settings.clock), invalid)

    def client(self, network: str) -> NetworkClient:
        """The network's client, shared by everything in this process.

        Raises:
            PermanentFailure: a setting of this network is wrong, which must not stop the others.
        """
        if network not in self._clients:
            config = self.networks[network]
            try:
                self._clients[network] = create_client(config, self.settings, self.now)
            except SettingsError as error:
                raise PermanentFailure(str(error)) from None
        return self._clients[network]

    @cached_property
    def object_store(self) -> ObjectStore:
        settings = self.settings
        return open_object_store(
            settings.object_store_url, settings.s3_endpoint_url, settings.patience_seconds
        )

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(
            WarehouseLocation.of(self.settings),
            self.settings.patience_seconds,
            {name: warehouse_tables(name) for name in self.networks},
        )

    @cached_property
    def files(self) -> ObjectStoreIOManager:
        """The object store's IO manager."""
        from aq_resources.io_managers import ObjectStoreIOManager

        return ObjectStoreIOManager(
            self.object_store,
            self.warehouse,
            {
                "hourly_readings": HOURLY_READINGS.schema,
                "network_models": NETWORK_MODELS.schema,
                "forecast_models": FORECAST_MODELS.schema,
            },
            lambda network: station_attributions(self.warehouse, network),
        )

    @cached_property
    def experiments(self) -> ExperimentLog:
        """Where fits of models are recorded, if anywhere."""
        settings = self.settings
        return open_experiments(settings.mlflow_tracking_uri, settings.forecast_models_until)

    @property
    def chunk(self) -> timedelta:
        """How much of a long range is worked on at once."""
        return timedelta(days=self.settings.chunk_days)

    def close(self) -> None:
        """Give connections back."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if "warehouse" in self.__dict__:
            self.warehouse.close()


def warehouse_tables(network: str) -> tuple[Table, ...]:
    """The warehouse's tables of a network, with those that its client lists beside the stations."""
    own = set(network_dimensions(network))
    if network_has_places(network):
        own.add(STATION_PLACES.name)
    if network_is_pushed(network):
        own.update(table.name for table in OF_DEVICES)
    not_listed = SOME_HAVE.keys() - own
    return tuple(table for table in WAREHOUSE_TABLES.values() if table.name not in not_listed)
