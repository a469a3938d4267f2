"""The platform's parts, made once from the settings and handed to assets as one resource."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from aq_resources.clock import Clock, open_clock, system_clock
from aq_resources.failures import PermanentFailure, SettingsError
from aq_resources.io_managers import S3IOManager
from aq_resources.network_settings import NetworkConfig, networks_path, read_networks
from aq_resources.networks import create_client, known_networks
from aq_resources.networks._client import NetworkClient
from aq_resources.object_store import ObjectStore, open_object_store
from aq_resources.settings import Settings
from aq_resources.tables import FORECAST_MODELS_SCHEMA, HOURLY_READINGS
from aq_resources.warehouse import Warehouse, WarehouseLocation


@dataclass
class Platform:
    """Settings, networks and stores. Nothing is opened before it is used.

    ``now`` is the only clock: it stamps what is received and issued, and decides nothing else.
    """

    settings: Settings
    networks: dict[str, NetworkConfig]
    now: Clock = system_clock
    # What is wrong with the entries of networks that are left out for it.
    ill: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, NetworkClient] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, now: Clock | None = None) -> Platform:
        """The platform as the environment's settings describe it; ``now`` replaces AQ_CLOCK."""
        settings = Settings()
        networks, ill = read_networks(networks_path(settings.networks), known_networks())
        return cls(settings, networks, now or open_clock(settings.clock), ill)

    def client(self, network: str) -> NetworkClient:
        """The network's client, shared by everything in this process.

        Raises `PermanentFailure` where a setting of the network is wrong: that is one network's
        trouble, which the others must not share.
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
        settings = self.settings
        data_path = settings.warehouse_data_path
        return Warehouse(
            WarehouseLocation(
                settings.warehouse_url,
                data_path,
                any(url.startswith("s3://") for url in (data_path, settings.object_store_url)),
                settings.s3_endpoint_url,
            ),
            settings.patience_seconds,
        )

    @cached_property
    def files(self) -> S3IOManager:
        """The object store's IO manager."""
        return S3IOManager(
            self.object_store,
            self.warehouse,
            {
                "hourly_readings": HOURLY_READINGS.schema,
                "forecast_models": FORECAST_MODELS_SCHEMA,
            },
        )

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
