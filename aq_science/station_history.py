"""Stations in the course of time: what a network said of each, from when to when.

A description is recorded when it is first seen; what a network corrects looks like a change. A
station counts as moved where it is more than `MOVED_KM` from where it was: then the days before
keep the time zone in which they were measured. A zone that changes where the station stands is a
correction, as is an override, and holds for all days.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from aq_science.places import zones_elsewhere
from aq_science.stations import EARTH_KM
from aq_science.tables.station_history import STATION_HISTORY

MOVED_KM = 1.0
_DESCRIBED = (
    *("name", "latitude", "longitude", "country", "city", "timezone"),
    "coordinates_source",
)
_KEY = ("network", "station_id")


def station_history(previous: pl.DataFrame, stations: pl.DataFrame) -> pl.DataFrame:
    """The history, brought up to date by what the stations are like now.

    Args:
        previous: `STATION_HISTORY` as it was.
        stations: `STATIONS`; one that was never described has no history.

    Returns:
        `STATION_HISTORY` rows, sorted by their key. Stations that did not change keep their rows,
        and so do those that are no longer listed.
    """
    now = stations.filter(pl.col("last_seen").is_not_null()).select(
        *_KEY, *_DESCRIBED, "first_seen", "last_seen"
    )
    open_rows = previous.filter(pl.col("valid_to").is_null())
    both = now.join(open_rows, on=_KEY, how="left", suffix="_before")
    known = pl.col("valid_from").is_not_null()
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in _DESCRIBED
    )
    # Who did not describe it since has said nothing new.
    later = pl.col("last_seen") > pl.col("valid_from")
    changed = both.filter(known & differs & later)
    new = both.filter(~known).with_columns(
        valid_from=pl.coalesce("first_seen", "last_seen"), moved_km=pl.lit(None, pl.Float64)
    )
    opened = changed.with_columns(
        closed=pl.col("valid_from"), valid_from=pl.col("last_seen"), moved_km=_kilometres()
    )
    ends = opened.select(*_KEY, valid_from="closed", ends="valid_from")
    closed = (
        previous.join(ends, on=[*_KEY, "valid_from"], how="left")
        .with_columns(valid_to=pl.coalesce("valid_to", "ends"))
        .drop("ends")
    )
    columns = STATION_HISTORY.schema.names()
    added = [
        frame.with_columns(valid_to=None).select(
            pl.col(name).cast(kind) for name, kind in STATION_HISTORY.schema.items()
        )
        for frame in (new, opened)
    ]
    return pl.concat([closed.select(columns), *added]).sort(STATION_HISTORY.key)


def _kilometres() -> pl.Expr:
    """Along the surface, from the position before to the position now."""
    there, here = (
        (pl.col(f"latitude{suffix}").radians(), pl.col(f"longitude{suffix}").radians())
        for suffix in ("_before", "")
    )
    half = ((here[0] - there[0]) / 2).sin() ** 2 + here[0].cos() * there[0].cos() * (
        (here[1] - there[1]) / 2
    ).sin() ** 2
    said = pl.all_horizontal(
        pl.col(f"coordinates_source{suffix}") == "upstream" for suffix in ("_before", "")
    )
    return pl.when(said).then(2 * EARTH_KM * half.clip(0, 1).sqrt().arcsin())


def moves(history: pl.DataFrame) -> pl.DataFrame:
    """Descriptions that say that a station stands elsewhere than before.

    Args:
        history: `STATION_HISTORY`.

    Returns:
        The rows of `history`, the newest first.
    """
    return history.filter(pl.col("moved_km") > MOVED_KM).sort("valid_from", descending=True)


def former_zones(
    history: pl.DataFrame, zones: dict[str, str], dates: tuple[date, date]
) -> pl.DataFrame:
    """Days on which a station that has moved since stood in another zone.

    Args:
        history: `STATION_HISTORY` of one network.
        zones: Today's IANA zone by station id.
        dates: First and last date, both included.

    Returns:
        `station_id`, `date` and `timezone`, as `daily_averages` takes them.
    """
    # How often a station has moved by then: descriptions between two moves are of one place.
    moved = (pl.col("moved_km") > MOVED_KM).fill_null(value=False)
    places = (
        history.sort("valid_from")
        .with_columns(place=moved.cum_sum().over("station_id"))
        .group_by("station_id", "place")
        .agg(pl.col("timezone").drop_nulls().last(), since=pl.col("valid_from").first().dt.date())
        .sort("station_id", "place")
        .with_columns(until=pl.col("since").shift(-1).over("station_id"))
    )
    by_day = (
        places.filter(pl.col("until").is_not_null())
        .join(pl.select(date=pl.date_range(*dates)), how="cross")
        .filter(
            pl.col("date") < pl.col("until"),
            (pl.col("place") == 0) | (pl.col("date") >= pl.col("since")),
        )
    )
    return zones_elsewhere(by_day, zones).sort("station_id", "date")
