"""CityAir's own settings."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

TITLE = "CityAir"
ATTRIBUTION = "City of Example (https://cityair.invalid)"


class NetworkSettings(EnvironmentSettings):
    """Address and key of CityAir."""

    model_config = SettingsConfigDict(env_prefix="AQ_CITYAIR_", env_ignore_empty=True)

    url: str = Field("https://cityair.invalid", description="Base of the CityAir API")
    key: SecretStr | None = Field(None, description="Its key")
