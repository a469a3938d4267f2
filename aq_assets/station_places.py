"""Where the stations of a network were on each day, by what its records say."""

from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.partitions import ONE_RUN, daily_partitions, windows_around
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_client import NetworkClient, PlacedClient
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.places import moves, station_places
from aq_science.tables.station_places import STATION_PLACES
from aq_science.windows import Window


def build_station_places(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/station_places`: one row a station and day that a record names a place for."""

    @asset(
        **described(
            config,
            "station_places",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=STATION_PLACES,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            "raw_pulls": dg.AssetIn(
                [config.name, "raw_pulls"],
                partition_mapping=windows_around(0, 0),
                input_manager_key=FILES,
            )
        },
        description=(
            f"Where the stations of {title(config)} were on each UTC day. Daily averages follow "
            "the zone of that day's place."
        ),
    )
    def places(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        raw_pulls: RawPullStore,
    ) -> FrameStream:
        client = services.client(config.name)

        def place(days: Window) -> pl.DataFrame:
            return places_of(raw_pulls, client, config.name, days)

        return chunked(context, services.chunk, place, MoveTally())

    return places


def places_of(
    pulls: RawPullStore, client: NetworkClient, network: str, days: Window
) -> pl.DataFrame:
    """Where the stations were on some days, by what the raw pulls say.

    Args:
        pulls: The network's; damaged files say nothing.
        client: Reads them.
        network: Its name.
        days: Whole UTC days.

    Returns:
        `STATION_PLACES` rows.

    Raises:
        TypeError: The network's client reads no places.
    """
    if not isinstance(client, PlacedClient):
        raise TypeError(f"{network} names places that its client cannot read")
    damaged: list[str] = []
    said = [client.places(pulls.read(folder, damaged)) for folder in pulls.folders(days)]
    inside = pl.col("hour").is_between(days.start, days.end, closed="left")
    return station_places(pl.concat([client.places([]), *said]).filter(inside), network)


class MoveTally(Tally):
    """The stations that moved within the run's days."""

    newest_by = "date"

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[pl.DataFrame] = []

    def count(self, frame: pl.DataFrame) -> None:
        self.seen.append(frame)

    def counts(self) -> dict[str, Any]:
        moved = moves(pl.concat([STATION_PLACES.schema.to_frame(), *self.seen]))
        said = [
            f"{station} moved from {before} to {after} on {day}"
            for station, day, before, after in moved.iter_rows()
        ]
        return {"moved": len(moved), "moves": said}
