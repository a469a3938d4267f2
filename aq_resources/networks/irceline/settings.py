"""IRCELINE's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

TITLE = "IRCELINE"
LICENCE = "CC BY 4.0"
ATTRIBUTION = f"IRCEL-CELINE (https://www.irceline.be), {LICENCE}"
API_URL = "https://geo.irceline.be/sos/api/v1"


class NetworkSettings(EnvironmentSettings):
    """Address of IRCELINE; it asks for no credentials."""

    model_config = SettingsConfigDict(env_prefix="AQ_IRCELINE_", env_ignore_empty=True)
    login = "IRCELINE asks for none."

    url: str = Field(API_URL, description="Base of the IRCELINE API")
