"""Settings of pushed readings, on their way and in the tables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import Credential, EnvironmentSettings, Settings
from aq_resources.spool.jetstream import Address
from aq_science.stations import usable_zone

TITLE = "Devices"
ATTRIBUTION = "The owners of the devices"
_HOUR_SECONDS = 3600


class NetworkSettings(EnvironmentSettings):
    """Where pushed readings wait, what is made of them, and how long it is kept."""

    model_config = SettingsConfigDict(env_prefix="AQ_DEVICES_", env_ignore_empty=True)
    login = "A server's token is AQ_DEVICES_SPOOL_TOKEN. Devices have keys: aq devices add-key."

    spool: str | None = Field(
        None,
        description="Where readings wait: a folder on a disk of this machine, or JetStream, as "
        "`nats://host:4222`",
    )
    spool_token: Credential | None = Field(None, description="Token of that server")
    window_seconds: int = Field(10, ge=1, description="Length of the windows of averages")
    interval_seconds: float = Field(
        0, ge=0, description="From one reading of a device to its next; 0: as its readings show"
    )
    late_days: int = Field(30, ge=1, description="Readings older than this are refused")
    timezone: str = Field("UTC", description="Zone of devices that have none in networks.yaml")
    keep_spool_hours: int = Field(
        24, ge=0, description="Hours for which the spool keeps what is in the tables"
    )
    keep_window_days: int = Field(
        90, ge=1, description="Days for which averages of windows are kept"
    )

    @field_validator("spool")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            Address.of(value, None)
        return value

    @field_validator("window_seconds")
    @classmethod
    def _divides_the_hour(cls, value: int) -> int:
        if _HOUR_SECONDS % value:
            raise ValueError("must divide the hour: 1, 5, 10, 15, 30, 60, 300, …")
        return value

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        zone = usable_zone(value)
        if zone is None:
            raise ValueError(
                f"{value!r} is no time zone; write an IANA name such as Africa/Abidjan"
            )
        return zone


def jetstream_address(own: NetworkSettings) -> Address | None:
    """Where JetStream is, if readings wait there."""
    if own.spool is None or "://" not in own.spool:
        return None
    token = own.spool_token
    return Address.of(own.spool, None if token is None else token.get_secret_value())


def spool_folder(settings: Settings, own: NetworkSettings) -> Path:
    """Where readings wait, where that is a folder."""
    return Path(own.spool or settings.home / "spool").absolute()
