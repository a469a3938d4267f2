"""AirQo's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import Credential, EnvironmentSettings

TITLE = "AirQo"
ATTRIBUTION = "AirQo, Makerere University (https://airqo.net)"
API_URL = "https://api.airqo.net"
# The documents' "3 historical calls a minute"; then AirQo blocks, for 15 minutes by its own word.
HISTORICAL_PER_MINUTE = 3


class NetworkSettings(EnvironmentSettings):
    """Address and credentials of AirQo."""

    model_config = SettingsConfigDict(env_prefix="AQ_AIRQO_", env_ignore_empty=True)
    login = "The token is AQ_AIRQO_TOKEN."

    url: str = Field(API_URL, description="Base of the AirQo API")
    token: Credential | None = Field(None, description="Token")
    client_secret: Credential | None = Field(None, description="Secret of a client that has one")
    historical_per_minute: int = Field(
        HISTORICAL_PER_MINUTE,
        ge=1,
        description="Calls for older readings a minute, by all processes of the machine together",
    )
