"""How a network's stations were described in the course of time."""

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import TABLES, described, title
from aq_assets.metadata import table_metadata
from aq_assets.stations import known_stations
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_science.station_history import moves, station_history
from aq_science.tables.station_history import STATION_HISTORY

_SHOWN = ("station_id", "name", "valid_from", "moved_km", "latitude", "longitude", "timezone")


def build_station_history(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/station_history`: one row a station and description."""

    @asset(
        **described(
            config,
            STATION_HISTORY.name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=STATION_HISTORY,
        ),
        deps=[dg.AssetKey([config.name, "stations"])],
        description=(
            f"What {title(config)} said of its stations, from when to when: names, positions, "
            "zones. The days before a move keep the zone that they were measured in."
        ),
    )
    def history(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> pl.DataFrame:
        previous = services.warehouse.rows(config.name, STATION_HISTORY)
        rows = station_history(previous, known_stations(context, config, services))
        moved = moves(rows)
        new = moved.join(previous, on=STATION_HISTORY.key, how="anti")
        for name, where in new.select("station_id", "name").iter_rows():
            context.log.warning("Station %s has moved: it is at %s now.", name, where)
        context.add_output_metadata(
            {
                "descriptions": len(rows),
                "moves": len(moved),
                "last_moves": table_metadata(moved.select(_SHOWN)),
            }
        )
        return rows

    return history
