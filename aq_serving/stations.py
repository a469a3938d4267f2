"""Stations as the API knows them: who is there, where, and whom to credit."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

import polars as pl

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.credits import Credit, credits_of
from aq_resources.networks import known_networks
from aq_science.stations import distance_km
from aq_science.tables.core import Column
from aq_science.tables.stations import STATIONS
from aq_serving.parsing import Box
from aq_serving.problems import not_found
from aq_serving.reader import Reader
from aq_serving.tables import with_columns

# Stations change once a night; an answer may be so old.
KEEP_SECONDS = 30.0

DISTANCE = Column("distance_km", pl.Float64(), "Distance from the point asked for", unit="km")
STATIONS_WITH_DISTANCE = with_columns(STATIONS, DISTANCE)

_MOST_NAMED = 5


class Directory:
    """The stations of all networks, read again after `KEEP_SECONDS`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._stations = STATIONS.schema.to_frame()
        self._read_at = -KEEP_SECONDS

    @property
    def stations(self) -> pl.DataFrame:
        """`STATIONS`, by network and id.

        Raises:
            ProblemError: They cannot be read now.
        """
        with self._lock:
            if time.monotonic() - self._read_at >= KEEP_SECONDS:
                columns = ", ".join(STATIONS.schema)
                rows = self._reader.query(f"SELECT {columns} FROM air_quality.stations")
                self._stations = rows.cast(plain_schema(STATIONS)).sort(STATIONS.key)
                self._read_at = time.monotonic()
            return self._stations

    def networks_with(self, networks: Collection[str], stations: Collection[str]) -> list[str]:
        """The networks that may have rows of what a request names.

        Args:
            networks: Their names; none means all.
            stations: Ids; none means all.

        Returns:
            In order.

        Raises:
            ProblemError: A station is in none of the networks.
        """
        rows = of_networks(self.stations, networks)
        if not stations:
            return sorted(networks or known_networks())
        found = rows.filter(pl.col("station_id").is_in(list(stations)))
        if unknown := sorted(set(stations) - set(found["station_id"])):
            named = ", ".join(unknown[:_MOST_NAMED])
            where = f" of {', '.join(networks)}" if networks else ""
            raise not_found(
                f"No such station{where}: {named}. /v1/stations lists all.",
                "station_id",
            )
        return sorted(set(found["network"]))

    def credits(self, rows: pl.DataFrame) -> list[Credit]:
        """Whom to credit for rows: by station, or by network where they name no station."""
        return credits_of(rows, self.stations)


class PublishedDirectory(Directory):
    """The stations of a publication."""

    def __init__(self, stations: pl.DataFrame) -> None:
        self._published = stations

    @property
    def stations(self) -> pl.DataFrame:
        """`STATIONS`, by network and id."""
        return self._published


def of_networks(stations: pl.DataFrame, networks: Collection[str]) -> pl.DataFrame:
    """The stations of some networks; of all without a name."""
    return stations.filter(pl.col("network").is_in(list(networks))) if networks else stations


def within_box(stations: pl.DataFrame, box: Box) -> pl.DataFrame:
    """Stations in a box, its edges included; those without a position are in none.

    >>> stations = pl.DataFrame({"longitude": [179.0, 0.0], "latitude": [1.0, 1.0]})
    >>> within_box(stations, Box(170.0, 0.0, -170.0, 2.0)).rows()
    [(179.0, 1.0)]
    """
    east_of_west, west_of_east = pl.col("longitude") >= box.west, pl.col("longitude") <= box.east
    crosses = box.west > box.east
    return stations.filter(
        east_of_west | west_of_east if crosses else east_of_west & west_of_east,
        pl.col("latitude").is_between(box.south, box.north),
    )


def within_distance(
    stations: pl.DataFrame, point: tuple[float, float], kilometres: float
) -> pl.DataFrame:
    """Stations around a point, the nearest first.

    Args:
        stations: `STATIONS`.
        point: Latitude and longitude in degrees.
        kilometres: Greatest distance, along the surface.

    Returns:
        With `distance_km`; stations without a position are left out.
    """
    near = stations.with_columns(distance_km(point).alias(DISTANCE.name))
    order: Sequence[str] = (DISTANCE.name, *STATIONS.key)
    return near.filter(pl.col(DISTANCE.name) <= kilometres).sort(order)
