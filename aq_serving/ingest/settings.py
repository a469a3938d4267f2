"""Settings of the devices' endpoint."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

_MIB = 1 << 20


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
        5000, gt=0, description="Readings a second of one key, by process; a key may have its own"
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
