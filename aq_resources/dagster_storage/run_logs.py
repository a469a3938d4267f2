"""Runs log as the settings say, on the console; in Dagster's storage they log as ever.

Dagster gives every run that configures none a console logger of its own, of which there is one
maker. `install` puts another one in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.execution import context_creation_job

from aq_resources.logs import LogSettings, json_formatter

# Dagster imports the name there and does not hand it on.
_NAME = "default_system_loggers"
_stock = getattr(context_creation_job, _NAME)


def install() -> None:
    """Let the runs that this process executes log JSON, where that is set."""
    if LogSettings().as_json:
        setattr(context_creation_job, _NAME, _json_loggers)


def _json_loggers(
    instance: dg.DagsterInstance | None,
) -> Sequence[tuple[dg.LoggerDefinition, Mapping[str, object]]]:
    return [(_CONSOLE, config) for _, config in _stock(instance)]


def _console(context: dg.InitLoggerContext) -> logging.Logger:
    config: Mapping[str, str] = context.logger_config
    # As the stock one: of no other logger's family, so that nothing is written twice.
    logger = logging.Logger(config["name"], config["log_level"])  # noqa: LOG001
    handler = logging.StreamHandler()
    handler.setFormatter(json_formatter())
    logger.addHandler(handler)
    return logger


_CONSOLE = dg.LoggerDefinition(_console, description="Lines of JSON on standard error.")
