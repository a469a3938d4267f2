"""Settings of the endpoints that Prometheus asks."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings


class MetricsSettings(EnvironmentSettings):
    """Where measurements are served, and how often they are taken."""

    model_config = SettingsConfigDict(env_prefix="AQ_METRICS_", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address of both endpoints")
    port: int | None = Field(
        None, ge=1, le=65535, description="Port of the platform's; without, `aq up` serves none"
    )
    api_port: int | None = Field(
        None, ge=1, le=65535, description="Port of the API's; without, `aq serve` serves none"
    )
    seconds: float = Field(60.0, gt=0, description="From one measurement to the next")
