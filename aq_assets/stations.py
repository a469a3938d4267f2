"""The station dimension of a network."""

from dataclasses import asdict
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.describe import TABLES, described, title
from aq_assets.metadata import table_metadata
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

    @dg.asset(
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
        found = services.client(config.name).stations()
        previous = services.warehouse.rows(config.name, STATIONS)
        if not found.stations and found.failures and previous.is_empty():
            raise next(iter(found.failures.values()))
        overrides = {key: value.model_dump() for key, value in config.overrides.items()}
        frame, problems = station_rows(
            config.name, _listed(config, found), overrides, previous, services.now()
        )
        context.add_output_metadata(_metadata(found, frame, problems))
        for failure in found.failures.values():
            context.log.warning(failure.message)
        return frame

    return stations


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
