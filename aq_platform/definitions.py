"""The one code location: every enabled network's chain, with the resources from the settings."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import dagster as dg

from aq_assets.chain import build_chain
from aq_assets.common import FILES, PLATFORM, TABLES
from aq_assets.upkeep import build_upkeep
from aq_resources.io_managers import DuckDBIOManager
from aq_resources.platform import Platform
from aq_sensors.automation import daily_condition
from aq_sensors.definitions import build_sensors

_LOG = logging.getLogger("aq.networks")


def build_defs(platform: Platform | None = None, **resources: Any) -> dg.Definitions:
    """The definitions of ``platform`` (default: the environment's), with resources overridden.

    Reads settings and networks.yaml; opens no file or connection beyond them. A network whose entry
    is wrong is left out, and the log says why.
    """
    platform = platform or Platform.from_environment()
    for reason in platform.ill.values():
        _LOG.warning(reason)
    with warnings.catch_warnings():
        # Single-run backfills and look-back mappings are young but documented features.
        warnings.simplefilter("ignore", dg.BetaWarning)
        chains = [
            build_chain(config, daily_condition(config.name, platform.settings.revisit_days))
            for config in platform.networks.values()
        ]
    own = dg.Definitions(
        resources={
            PLATFORM: dg.ResourceDefinition.hardcoded_resource(platform),
            FILES: dg.IOManagerDefinition.hardcoded_io_manager(platform.files),
            TABLES: dg.IOManagerDefinition.hardcoded_io_manager(
                DuckDBIOManager(platform.warehouse)
            ),
            **resources,
        },
        # One process a run: steps share the warehouse's connection, and start at once.
        executor=dg.in_process_executor,
    )
    assets = dg.Definitions.merge(own, *chains, build_upkeep())
    jobs = {job.name: job for job in assets.jobs or ()}
    return dg.Definitions.merge(assets, build_sensors(platform, jobs))


@dg.definitions
def defs() -> dg.Definitions:
    """What webserver, daemon and code server load."""
    return build_defs()
