"""The one code location: every enabled network's chain, with the resources from the settings."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import dagster as dg

from aq_assets.chain import build_chain
from aq_assets.describe import FILES, SERVICES, TABLES
from aq_assets.publication import build_union_publication
from aq_assets.upkeep import build_upkeep
from aq_resources.dagster_storage import run_logs
from aq_resources.dagster_storage.run_health import BEATING_EXECUTOR
from aq_resources.io_managers import DuckDBIOManager
from aq_resources.logs import configure_logs
from aq_resources.services import Services
from aq_sensors.automation import daily_condition
from aq_sensors.definitions import build_sensors

_LOG = logging.getLogger("aq.networks")


def build_defs(services: Services | None = None, **resources: Any) -> dg.Definitions:
    """The definitions of `services` (default: the environment's), with resources overridden.

    Reads settings and networks.yaml; opens no file or connection beyond them. A network whose entry
    is wrong is left out, and the log says why.
    """
    services = services or Services.from_environment()
    for reason in services.invalid_networks.values():
        _LOG.warning(reason)
    with warnings.catch_warnings():
        # Single-run backfills and look-back mappings are young but documented features.
        warnings.simplefilter("ignore", dg.BetaWarning)
        chains = [
            build_chain(
                config,
                daily_condition(config.name, services.settings.revisit_days),
                on_s3=services.settings.on_s3,
            )
            for config in services.networks.values()
        ]
    own = dg.Definitions(
        resources={
            SERVICES: dg.ResourceDefinition.hardcoded_resource(services),
            FILES: dg.IOManagerDefinition.hardcoded_io_manager(services.files),
            TABLES: dg.IOManagerDefinition.hardcoded_io_manager(
                DuckDBIOManager(services.warehouse)
            ),
            **resources,
        },
        # One process a run: steps share the warehouse's connection, and start at once.
        executor=BEATING_EXECUTOR,
    )
    on_s3 = services.settings.on_s3
    union = dg.Definitions(assets=[build_union_publication(list(services.networks), on_s3=on_s3)])
    assets = dg.Definitions.merge(own, *chains, union, build_upkeep(on_s3=on_s3))
    jobs = {job.name: job for job in assets.jobs or ()}
    return dg.Definitions.merge(assets, build_sensors(services, jobs))


@dg.definitions
def defs() -> dg.Definitions:
    """What webserver, daemon and code server load, and the process of a run."""
    configure_logs()
    run_logs.install()
    return build_defs()
