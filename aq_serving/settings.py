"""Settings of the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

_ORIGIN = re.compile(r"https?://[\w.-]+(:\d+)?")
_TILES = re.compile(_ORIGIN.pattern + r"/[\w./{}@?=&%~-]+")
_PLACES = ("{z}", "{x}", "{y}")


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
    tiles_url: str | None = Field(
        None,
        description="Address of map tiles for the dashboard, with {z}, {x} and {y}; its map has "
        "outlines alone without",
    )
    tiles_attribution: str | None = Field(
        None, max_length=200, description="Whom the map names for the tiles"
    )

    @property
    def tiles_origin(self) -> str | None:
        """The host that the dashboard loads tiles from."""
        found = None if self.tiles_url is None else _ORIGIN.match(self.tiles_url)
        return None if found is None else found.group()

    def keys_in(self, home: Path) -> Path:
        """Where the keys' hashes are; `home` is `AQ_HOME`."""
        return self.key_file or home / "api_keys"

    @field_validator("tiles_url")
    @classmethod
    def _tiles(cls, value: str | None) -> str | None:
        # It becomes part of the pages' policy: nothing may stand in it that ends a directive.
        if value is not None and (
            _TILES.fullmatch(value) is None or not all(part in value for part in _PLACES)
        ):
            raise ValueError(
                "must be an address with {z}, {x} and {y}, such as "
                "https://tile.openstreetmap.org/{z}/{x}/{y}.png"
            )
        return value

    @model_validator(mode="after")
    def _tiles_have_makers(self) -> Self:
        if self.tiles_url is not None and not self.tiles_attribution:
            raise ValueError(
                "AQ_API_TILES_URL needs AQ_API_TILES_ATTRIBUTION: every server of tiles asks to "
                "be named"
            )
        return self

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
