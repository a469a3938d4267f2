"""Where stations were on which day: devices move, and old days stay where they were measured."""

from __future__ import annotations

import polars as pl

from aq_science.stations import day_zone, zone_at
from aq_science.tables.station_places import STATION_PLACES
from aq_science.tables.types import INSTANT

# What records say of the place they were measured at.
PLACE_SCHEMA = pl.Schema(
    {
        "station_id": pl.String(),
        "hour": INSTANT,
        "pulled_at": INSTANT,
        "name": pl.String(),
        "latitude": pl.Float64(),
        "longitude": pl.Float64(),
        "country": pl.String(),
        "city": pl.String(),
    }
)
_PLACE = ("name", "latitude", "longitude", "country", "city")


def station_places(said: pl.DataFrame, network: str) -> pl.DataFrame:
    """The place of each station and UTC day: that of the day's last record, as received last.

    Args:
        said: `PLACE_SCHEMA`. Rows without any place say nothing.
        network: Name of the network.

    Returns:
        `STATION_PLACES` rows, sorted by their key.
    """
    days = (
        said.filter(pl.any_horizontal(pl.col("name", "latitude").is_not_null()))
        .with_columns(date=pl.col("hour").dt.date())
        .sort("hour", "pulled_at", *_PLACE)
        .unique(["station_id", "date"], keep="last", maintain_order=True)
    )
    where = ["latitude", "longitude", "country"]
    zones = [(*place, zone_at(*place)) for place in days.select(where).unique().rows()]
    known = pl.DataFrame(
        zones,
        schema={**{name: PLACE_SCHEMA[name] for name in where}, "timezone": pl.String()},
        orient="row",
    )
    return (
        days.join(known, on=where, how="left", nulls_equal=True)
        .with_columns(network=pl.lit(network))
        .select(STATION_PLACES.schema.names())
        .sort("station_id", "date")
    )


def zones_elsewhere(places: pl.DataFrame, zones: dict[str, str]) -> pl.DataFrame:
    """Days on which a station was in another zone than it is in today.

    Args:
        places: `station_id`, `date` and `timezone`, such as `STATION_PLACES`.
        zones: Today's zone by station id.

    Returns:
        `station_id`, `date` and `timezone`.
    """
    named = places.select("station_id", "date", "timezone").drop_nulls()
    today = pl.DataFrame(
        {"station_id": list(zones), "today": [day_zone(zone) for zone in zones.values()]},
        schema={"station_id": pl.String, "today": pl.String},
    )
    moved = named.join(today, on="station_id").filter(pl.col("timezone") != pl.col("today"))
    return moved.select("station_id", "date", "timezone")


def moves(places: pl.DataFrame) -> pl.DataFrame:
    """Each change of place.

    Args:
        places: `STATION_PLACES`.

    Returns:
        `station_id`, `date` (the first day elsewhere), `before` and `after`, names of the places.
    """
    ordered = places.sort("station_id", "date")
    same_station = pl.col("station_id") == pl.col("station_id").shift(1)
    return (
        ordered.with_columns(before=pl.when(same_station).then(pl.col("name").shift(1)))
        .filter(pl.col("before").is_not_null(), pl.col("before") != pl.col("name"))
        .select("station_id", "date", "before", after="name")
    )
