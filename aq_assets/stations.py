"""The station dimension of a network."""

from dataclasses import asdict
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import TABLES, described, title
from aq_assets.metadata import table_metadata
from aq_assets.panels import station_names
from aq_resources.network_client import Station, StationList
from aq_resources.network_settings import NetworkConfig, is_group
from aq_resources.services import Services
from aq_science.stations import station_rows
from aq_science.tables.stations import STATIONS

# What the check on positions reads from a materialization.
STATION_PROBLEMS, TO_FIX = "station_problems", "to_fix"
_SHOWN_PROBLEMS = 200


def build_stations(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/stations`: one row a station, as the network describes it today."""

    @asset(
        **described(
            config,
            "stations",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=STATIONS,
        ),
        pool=config.name,
        description=(
            f"Stations of {title(config)}: name, position, time zone, what they measure. A "
            "position that is zero, swapped or far from the country counts as unknown until "
            "networks.yaml overrides it."
        ),
    )
    def stations(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> pl.DataFrame:
        previous = services.warehouse.rows(config.name, STATIONS)
        frame, metadata = _describe(context, config, services, previous)
        context.add_output_metadata(metadata)
        return frame

    return stations


def known_stations(
    context: dg.AssetExecutionContext, config: NetworkConfig, services: Services
) -> pl.DataFrame:
    """The stations as they are stored; described and stored now where they never were.

    So that a first backfill of what needs them waits for no one to materialize them. The UI shows
    them as materialized by the run that asks.

    Args:
        context: Of the asset that needs them.
        config: The network.
        services: For its client, and for the warehouse.

    Returns:
        `STATIONS` rows.

    Raises:
        TransientFailure: There are none yet, and the network cannot be asked now.
        PermanentFailure: There are none yet, and the network refuses.
    """
    stored = services.warehouse.rows(config.name, STATIONS)
    if not stored.is_empty():
        return stored
    context.log.info("%s has no stations yet: they are described now.", title(config))
    frame, metadata = _describe(context, config, services, stored)
    services.warehouse.replace(config.name, STATIONS, frame)
    key = dg.AssetKey([config.name, STATIONS.name])
    context.log_event(dg.AssetMaterialization(key, metadata=metadata))
    return frame


def names_of_stations(services: Services, network: str) -> dict[str, str]:
    """Names for people by id, as far as the network's stations are stored."""
    columns = ("station_id", "name")
    return station_names(services.warehouse.rows(network, STATIONS, columns=columns))


def _describe(
    context: dg.AssetExecutionContext,
    config: NetworkConfig,
    services: Services,
    previous: pl.DataFrame,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The dimension as it is to be stored, and what to show beside it."""
    found = services.client(config.name).stations()
    if not found.stations and found.failures and previous.is_empty():
        raise next(iter(found.failures.values()))
    overrides = {key: value.model_dump() for key, value in config.overrides.items()}
    frame, problems = station_rows(
        config.name, _listed(config, found), overrides, previous, services.now()
    )
    for failure in found.failures.values():
        context.log.warning(failure.message)
    return frame, _metadata(found, frame, problems)


def _metadata(found: StationList, frame: pl.DataFrame, problems: pl.DataFrame) -> dict[str, Any]:
    """What to show beside the materialization; the check on positions reads it, too."""
    return {
        "stations": len(frame),
        "not_described": len(found.failures),
        "failures": [f"{name}: {failure.message}" for name, failure in found.failures.items()],
        "preview": table_metadata(frame.drop("attribution")),
        "without_position": frame["latitude"].null_count(),
        STATION_PROBLEMS: len(problems),
        "problem_kinds": dict(problems["problem"].value_counts(sort=True).iter_rows()),
        TO_FIX: table_metadata(problems, _SHOWN_PROBLEMS),
    }


def _listed(config: NetworkConfig, found: StationList) -> list[dict[str, object]]:
    """Every configured or listed station, with whether the network described it just now."""
    rows = [{**asdict(station), "seen": True} for station in found.stations]
    seen = {station.station_id for station in found.stations}
    rows += [
        {**asdict(Station(name)), "seen": False}
        for name in config.stations
        if name not in seen and not is_group(name)
    ]
    return rows
