"""Logs as lines of JSON, by setting, with the run, network and partition that they are about.

Dagster's own servers write JSON by their option `--log-format json`, with structlog; so does this,
with the same names (`event`, `level`, `timestamp`, `logger`), and one reader understands all.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings


class LogSettings(EnvironmentSettings):
    """The form of logs."""

    model_config = SettingsConfigDict(env_prefix="AQ_LOG_", env_ignore_empty=True)

    format: Literal["text", "json"] = Field("text", description="`json`: a line is an object")

    @property
    def as_json(self) -> bool:
        """Whether lines are objects."""
        return self.format == "json"
