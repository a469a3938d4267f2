"""Settings of the devices' endpoint, and of the broker that they may publish to instead."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

_MIB = 1 << 20
_BROKER = re.compile(r"mqtts?://(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d{1,5})?/?")


class IngestSettings(EnvironmentSettings):
    """Where devices push to, and how much at once."""

    model_config = SettingsConfigDict(env_prefix="AQ_INGEST_", env_ignore_empty=True)

    up: bool = Field(default=False, description="Whether `aq up` starts it too")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8710, ge=1, le=65535, description="Port")
    workers: int = Field(1, ge=1, le=64, description="Processes; they share the spool")
    body_bytes: int = Field(2 * _MIB, ge=1024, description="Longest body of a request")
    batch_readings: int = Field(10_000, ge=1, description="Most messages in a request")
    readings_per_second: float = Field(
        5000, gt=0, description="Readings a second of one key; a key may have its own"
    )
    address_rate: float = Field(
        0.0, ge=0, description="Requests a second of an address; 0 for any number"
    )
    clock_ahead_seconds: int = Field(
        120, ge=0, description="A stamp this far ahead is a wrong clock's, and refused"
    )
    late_seconds: int = Field(60, ge=1, description="A reading that comes later counts as late")
    roll_seconds: float = Field(2.0, gt=0, description="After so long a segment is handed on")
    segment_bytes: int = Field(8 * _MIB, ge=1024, description="And after so many bytes")
    memory_bytes: int = Field(
        128 * _MIB, ge=_MIB, description="Bodies under way at once, by process; then 429"
    )
    spool_bytes: int = Field(
        4096 * _MIB, ge=_MIB, description="What may wait in the spool; then 429"
    )
    free_bytes: int = Field(
        256 * _MIB, ge=0, description="What stays free on the spool's disk; then 429"
    )


class MqttSettings(EnvironmentSettings):
    """The broker that devices publish to."""

    model_config = SettingsConfigDict(env_prefix="AQ_MQTT_", env_ignore_empty=True)
    login = "The login is AQ_MQTT_USERNAME and AQ_MQTT_PASSWORD."

    url: str = Field(
        "", description="Broker: `mqtt://host:1883`, or `mqtts://host:8883` with TLS; default none"
    )
    username: str | None = Field(None, description="User at the broker")
    password: SecretStr | None = Field(None, description="Its password")
    ca_file: Path | None = Field(
        None, description="Certificates that the broker's is checked by; those of the system"
    )
    client_id: str = Field(
        "aq", min_length=1, max_length=64, description="Name of the session that the broker keeps"
    )
    topic: str = Field("aq", description="Beginning of the topics: `<topic>/<fleet>/<device>`")
    in_flight: int = Field(
        500, ge=1, le=65535, description="Messages that may wait for their acknowledgement"
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not _BROKER.fullmatch(value):
            raise ValueError(f"must be mqtt://host:1883 or mqtts://host:8883, not {value!r}")
        return value.rstrip("/")

    @field_validator("topic")
    @classmethod
    def _levels(cls, value: str) -> str:
        if not value or set("+#") & set(value) or value.startswith(("$", "/")):
            raise ValueError("must be levels such as aq or city/aq, without + and #")
        return value.rstrip("/")
