"""AirQino's own settings."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

TITLE = "AirQino"
ATTRIBUTION = "AirQino, CNR-IBE and Magenta srl (https://www.airqino.it)"
API_URL = "https://airqino-api.magentalab.it"
CATALOGUE_URL = "https://airqino-backend.magentalab.it/api/station"
TOKEN_URL = "https://airqino-auth.magentalab.it/realms/airqino/protocol/openid-connect/token"  # noqa: S105
CHECK_LOGIN = (
    "Check AQ_AIRQINO_USERNAME, AQ_AIRQINO_PASSWORD, AQ_AIRQINO_CLIENT_ID and "
    "AQ_AIRQINO_CLIENT_SECRET."
)


class NetworkSettings(EnvironmentSettings):
    """Address and credentials of AirQino; anonymous without a user name."""

    model_config = SettingsConfigDict(env_prefix="AQ_AIRQINO_", env_ignore_empty=True)
    login = CHECK_LOGIN.replace("Check", "Set")

    url: str = Field(API_URL, description="Base of the AirQino API")
    token_url: str = Field(TOKEN_URL, description="Keycloak token address")
    catalogue_url: str | None = Field(
        None,
        description="Station catalogue; default AirQino's own, none with another AQ_AIRQINO_URL",
    )
    username: str | None = Field(None, description="User name for the password grant")
    password: SecretStr | None = Field(None, description="Password")
    client_id: str | None = Field(None, description="Keycloak client")
    client_secret: SecretStr | None = Field(None, description="Keycloak client secret")

    @property
    def catalogue(self) -> str | None:
        """Where the catalogue is, if anywhere."""
        if self.catalogue_url is None and self.url == API_URL:
            return CATALOGUE_URL
        return self.catalogue_url
