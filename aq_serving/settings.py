"""Settings of the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

_ORIGIN = re.compile(r"https?://[\w.-]+(:\d+)?")


class ApiSettings(EnvironmentSettings):
    """Where the API listens, and how much it may do at once."""

    model_config = SettingsConfigDict(env_prefix="AQ_API_", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8700, ge=1, le=65535, description="Port")
    workers: int = Field(1, ge=1, le=64, description="Processes")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins of pages that may read it, with commas between; `*` for any"
    )
    key_file: Path | None = Field(
        None, description="File of the keys' hashes, which `aq keys` writes"
    )
    key_required: bool = Field(default=False, description="Whether a request needs a key")
    key_rate: float = Field(0.0, ge=0, description="Requests a second of a key; 0 for any number")
    address_rate: float = Field(
        0.0, ge=0, description="Requests a second of an address without a key; 0 for any number"
    )
    most_connections: int = Field(2000, ge=1, description="Connections at once, by process")
    streams: int = Field(500, ge=0, description="Listeners to /v1/live at once, by process")
    streams_of_address: int = Field(
        20, ge=1, description="Listeners of one address at once, by process"
    )
    connections: int = Field(4, ge=1, le=64, description="Reads at once, by process")
    time_limit_seconds: float = Field(10.0, gt=0, description="Longest time of one read")

    def keys_in(self, home: Path) -> Path:
        """Where the keys' hashes are; `home` is `AQ_HOME`."""
        return self.key_file or home / "api_keys"

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    "must be origins such as https://air.example.org, or *, not "
                    f"{origin.rpartition('@')[2]!r}"
                )
        return origins
