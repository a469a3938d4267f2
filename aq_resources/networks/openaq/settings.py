"""OpenAQ's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import Credential, EnvironmentSettings

TITLE = "OpenAQ"
ATTRIBUTION = "via OpenAQ (https://openaq.org)"
WITHOUT_KEY = "Set AQ_OPENAQ_API_KEY (https://explore.openaq.org/register gives keys out)."


class NetworkSettings(EnvironmentSettings):
    """Address, key and limits of OpenAQ."""

    model_config = SettingsConfigDict(env_prefix="AQ_OPENAQ_", env_ignore_empty=True)
    login = "The key is AQ_OPENAQ_API_KEY."

    url: str = Field("https://api.openaq.org/v3", description="Base of the OpenAQ API")
    api_key: Credential | None = Field(None, description="Key of the API (X-API-Key)")
    archive: str = Field(
        "s3://openaq-data-archive",
        description="Archive of daily files: `s3://…`, `http(s)://…` or a folder; `none` for none",
    )
    requests_per_minute: int = Field(60, ge=1, description="Requests allowed in a minute")
    requests_per_hour: int = Field(2000, ge=1, description="Requests allowed in an hour")

    @property
    def archive_alone(self) -> bool:
        """Whether the archive is all there is, since no key opens the API."""
        return self.api_key is None and self.archive != "none"
