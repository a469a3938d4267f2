"""Station rows: what the network says, what is known better here, and when it was seen.

Where a country lies follows from two data sets that the platform has anyway: tzfpy says which time
zones cover a position, and the tz database's `zone.tab` which zones a country has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

UNKNOWN_ZONE = "UTC"

# Positions are rounded to 0.1 degree (11 km), borders simplified, and some stations stand on piers.
TOLERANCE_KM = 50.0
_RINGS_KM = (10.0, 20.0, 30.0, 40.0, TOLERANCE_KM)
_BEARINGS = 16
# Mean radius (IUGG).
EARTH_KM = 6371.0088
_KM_PER_DEGREE = math.radians(EARTH_KM)

# North Vietnam lies in Bangkok's zone (zone1970.tab), and Crimea is given to either country.
_SHARED_ZONES = {"VN": ("Asia/Bangkok",), "RU": ("Europe/Simferopol",)}
# Parts with a code of their own, whose stations may carry the code of the whole (ISO 3166-1).
_PARTS = {
    "AU": "CC CX HM NF",
    "CN": "HK MO",
    "DK": "FO GL",
    "FI": "AX",
    "FR": "BL GF GP MF MQ NC PF PM RE TF WF YT",
    "GB": "AI BM FK GG GI GS IM IO JE KY MS PN SH TC VG",
    "MA": "EH",
    "NL": "AW BQ CW SX",
    "NO": "BV SJ",
    "NZ": "CK NU TK",
    "US": "AS GU MP PR UM VI",
}

PROBLEM_SCHEMA = pl.Schema(
    {
        "station_id": pl.String(),
        "name": pl.String(),
        "problem": pl.String(),
        "latitude": pl.Float64(),
        "longitude": pl.Float64(),
        "country": pl.String(),
        "timezone": pl.String(),
        "override": pl.String(),
    }
)


@cache
def country_zones(country: str | None) -> frozenset[str]:
    """IANA zones of a country (ISO 3166-1 alpha-2), its parts overseas included.

    Those of every country where it is not known.
    """
    by_country = _zones_by_country()
    code = (country or "").upper()
    codes = [code, *_PARTS.get(code, "").split()] if _is_known(country) else by_country
    shared = _SHARED_ZONES.get(code, ())
    return frozenset(shared).union(*(by_country.get(one, ()) for one in codes))


@cache
def usable_zone(name: str | None) -> str | None:
    """The name of a time zone, without blanks around it, where local days can be found by it.

    Both Python and polars must know it: each has names that the other has not, such as `Factory`.

    Args:
        name: As a network or a person wrote it.

    Returns:
        The IANA name, or None.
    """
    zone = (name or "").strip()
    try:
        ZoneInfo(zone)
        pl.Series([0]).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    except (KeyError, ValueError, OSError, pl.exceptions.ComputeError):
        return None
    return zone


def day_zone(name: str | None) -> str:
    """The zone that a station's local days go by: what is stored, or `UNKNOWN_ZONE` for no zone."""
    return usable_zone(name) or UNKNOWN_ZONE


def country_code(name: str) -> str | None:
    """ISO 3166-1 alpha-2 code of a country's English name in the tz database; None for others."""
    codes = {known.casefold(): code for code, known in _table("iso3166.tab")}
    # As AirQo writes them: the tz database shortens one and has another apostrophe in the other.
    codes |= {"democratic republic of the congo": "CD", "côte d'ivoire": "CI"}
    return codes.get(name.strip().casefold())


def zone_at(
    latitude: float | None, longitude: float | None, country: str | None = None
) -> str | None:
    """IANA zone of the country at a position, or the nearest within `TOLERANCE_KM`.

    Args:
        latitude: degrees north.
        longitude: degrees east.
        country: ISO 3166-1 alpha-2. Where it is not known, the zone is that of any country, at the
            position itself: no border can be missed, and the zones reach to the end of the
            territorial sea.

    Returns:
        The zone's name; None where there is none, or no such position on earth.
    """
    if latitude is None or longitude is None or not _on_earth(latitude, longitude):
        return None
    from tzfpy import get_tzs

    zones = country_zones(country)
    places = _around(latitude, longitude) if _is_known(country) else [(longitude, latitude)]
    found = (zone for place in places for zone in get_tzs(*place) if zone in zones)
    return next(found, None) or _nearest_place(latitude, longitude, country)


def position_problem(latitude: float, longitude: float, country: str | None) -> str | None:
    """What is wrong with a position, if anything.

    Args:
        latitude: degrees north.
        longitude: degrees east.
        country: ISO 3166-1 alpha-2, where it is known.

    Returns:
        `zero`: 0, 0, which stands for unknown. `swapped`: not in its country (or `TOLERANCE_KM`
        around it) as it is, but with latitude and longitude swapped. `out_of_range`: no position on
        earth. `far_from_country`: any other place outside its country; where the country is not
        known, outside all of them. None: nothing.
    """
    if latitude == 0.0 and longitude == 0.0:
        return "zero"
    if zone_at(latitude, longitude, country):
        return None
    if _is_known(country) and zone_at(longitude, latitude, country):
        return "swapped"
    return "far_from_country" if _on_earth(latitude, longitude) else "out_of_range"


def station_rows(
    network: str,
    described: Iterable[Mapping[str, Any]],
    overrides: Mapping[str, Mapping[str, Any]],
    previous: pl.DataFrame,
    seen_at: datetime,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The station dimension, brought up to date.

    A time zone comes from the override, the network, the position, or the country where it has one
    zone alone, in this order.

    Args:
        network: the network's name.
        described: one mapping a station, with `station_id` and `seen` (whether the network
            described it just now). A station that the network did not describe, or no longer
            lists, keeps its previous row, with what is overridden: its readings stay.
        overrides: by station id; they win over the network. A wrong position counts as not said,
            except in an override.
        previous: the dimension as it was.
        seen_at: when the network was asked, UTC.

    Returns:
        Rows sorted by id with the columns and types of `previous`, and what is wrong with their
        positions and time zones (`PROBLEM_SCHEMA`).
    """
    before = {row["station_id"]: row for row in previous.iter_rows(named=True)}
    described = list(described)
    silent = before.keys() - {station["station_id"] for station in described}
    unlisted = [{"station_id": name, "parameters": (), "seen": False} for name in silent]
    rows, problems = [], []
    for station in [*described, *unlisted]:
        station_id = station["station_id"]
        old = before.get(station_id, {})
        better = {k: v for k, v in overrides.get(station_id, {}).items() if v is not None}
        said = {k: v for k, v in station.items() if k != "seen" and v not in (None, (), "")}
        row: dict[str, Any] = {**old, **said, **better, "network": network}
        row["parameters"] = sorted({*(old.get("parameters") or ()), *station["parameters"]})
        wrong = _place(row, old, said, better)
        zones = [usable_zone(given.get("timezone")) for given in (better, said, old)]
        row["timezone"] = (
            zones[0]
            or zones[1]
            or (None if station["seen"] or "latitude" in better else zones[2])
            or zone_at(row["latitude"], row["longitude"], row.get("country"))
            # An override is believed, also against the country.
            or zone_at(row["latitude"], row["longitude"])
            or _only_zone(row.get("country"))
            or UNKNOWN_ZONE
        )
        if station["seen"]:
            row["first_seen"] = old.get("first_seen") or seen_at
            row["last_seen"] = seen_at
        rows.append({column: row.get(column) for column in previous.columns})
        if wrong is None:
            wrong = _zone_problem(row, better.get("timezone") or said.get("timezone"), zones)
        if wrong is not None:
            problems.append({**row, "latitude": None, "longitude": None, **wrong})
    return (
        pl.DataFrame(rows, schema=previous.schema, orient="row").sort("station_id"),
        _problem_rows(problems),
    )


def _place(
    row: dict[str, Any],
    old: Mapping[str, Any],
    said: Mapping[str, Any],
    better: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Give the row the best position there is; the problem of the best one that is wrong."""
    row.update(latitude=None, longitude=None, coordinates_source=None)
    # One that was overridden before says nothing of what the network holds.
    kept = old if old.get("coordinates_source") == "upstream" else {}
    wrong = None
    for source, given in (("override", better), ("upstream", said), ("upstream", kept)):
        latitude, longitude = given.get("latitude"), given.get("longitude")
        if latitude is None or longitude is None:
            continue
        position = {"latitude": latitude, "longitude": longitude}
        problem = position_problem(latitude, longitude, row.get("country"))
        if problem is not None:
            wrong = wrong or {"problem": problem, **position}
        if problem is None or source == "override":
            row.update(position, coordinates_source=source)
            break
    return wrong


def _zone_problem(
    row: Mapping[str, Any], given: str | None, usable: list[str | None]
) -> dict[str, Any] | None:
    """What is wrong with a time zone: what was given is none, or nothing said it."""
    if given and usable[0] is None and usable[1] is None:
        return {"problem": "unknown_time_zone"}
    if row["timezone"] == UNKNOWN_ZONE and not given:
        return {"problem": "no_time_zone"}
    return None


def _problem_rows(problems: list[dict[str, Any]]) -> pl.DataFrame:
    rows = [{**row, "override": _override(row)} for row in problems]
    names = PROBLEM_SCHEMA.names()
    picked = [{name: row.get(name) for name in names} for row in rows]
    return pl.DataFrame(picked, schema=PROBLEM_SCHEMA, orient="row").sort("station_id")


def _override(row: Mapping[str, Any]) -> str:
    """The line for networks.yaml that fixes a problem, with dots for what only people know."""
    if row["problem"] == "no_time_zone":
        known = "timezone: …"
    elif row["problem"] == "unknown_time_zone":
        # In the place of what the network, or the override there, says.
        known = f"timezone: {row['timezone']}"
    elif row["problem"] == "swapped":
        known = f"latitude: {row['longitude']}, longitude: {row['latitude']}"
    else:
        known = "latitude: …, longitude: …"
    return f'"{row["station_id"]}": {{{known}}}'


def _only_zone(country: str | None) -> str | None:
    zones = country_zones(country)
    return next(iter(zones)) if len(zones) == 1 else None


def _is_known(country: str | None) -> bool:
    return (country or "").upper() in _zones_by_country()


def _on_earth(latitude: float, longitude: float) -> bool:
    return abs(latitude) <= 90.0 and abs(longitude) <= 180.0


def _nearest_place(latitude: float, longitude: float, country: str | None) -> str | None:
    """Zone whose chief place in the country is nearest, if within reach.

    Countries smaller than the gaps between the points around a position are found by this alone.
    """
    if not _is_known(country):
        return None
    places = _zones_by_country()[(country or "").upper()]
    distances = {zone: km_between((latitude, longitude), place) for zone, place in places.items()}
    nearest = min(distances, key=distances.__getitem__)
    return nearest if distances[nearest] <= TOLERANCE_KM else None


def km_between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Great-circle distance of two (latitude, longitude), by the haversine formula."""
    here, there = math.radians(one[0]), math.radians(other[0])
    east = math.radians(other[1] - one[1])
    half = math.sin((there - here) / 2) ** 2
    half += math.cos(here) * math.cos(there) * math.sin(east / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def distance_km(point: tuple[float, float]) -> pl.Expr:
    """As `km_between`, from a point (latitude, longitude) to `latitude` and `longitude` of rows."""
    here = [pl.lit(degrees).radians() for degrees in point]
    there = [pl.col(name).radians() for name in ("latitude", "longitude")]
    half = ((there[0] - here[0]) / 2).sin() ** 2
    half += here[0].cos() * there[0].cos() * ((there[1] - here[1]) / 2).sin() ** 2
    return 2 * EARTH_KM * half.sqrt().clip(upper_bound=1.0).arcsin()


def _around(latitude: float, longitude: float) -> Iterator[tuple[float, float]]:
    """(longitude, latitude) of the position, then of points on ever wider rings around it."""
    yield longitude, latitude
    for radius in _RINGS_KM:
        for step in range(_BEARINGS):
            bearing = math.tau * step / _BEARINGS
            north = latitude + radius / _KM_PER_DEGREE * math.cos(bearing)
            if abs(north) > 90.0:
                continue
            across = max(math.cos(math.radians(north)), 0.01)
            east = longitude + radius / _KM_PER_DEGREE * math.sin(bearing) / across
            yield (east + 180.0) % 360.0 - 180.0, north


@cache
def _zones_by_country() -> dict[str, dict[str, tuple[float, float]]]:
    """Latitude and longitude of the chief place of every zone, by country."""
    zones: dict[str, dict[str, tuple[float, float]]] = {}
    for code, place, zone, *_ in _table("zone.tab"):
        cut = max(place.rfind("+"), place.rfind("-"))
        zones.setdefault(code, {})[zone] = _degrees(place[:cut], 2), _degrees(place[cut:], 3)
    return zones


def _degrees(text: str, digits: int) -> float:
    """`±DDMM` or `±DDMMSS` (ISO 6709), with so many digits for the degrees."""
    whole, minutes, seconds = text[1 : digits + 1], text[digits + 1 :][:2], text[digits + 3 :]
    degrees = int(whole) + int(minutes) / 60 + int(seconds or 0) / 3600
    return -degrees if text.startswith("-") else degrees


@cache
def _table(name: str) -> tuple[tuple[str, ...], ...]:
    """Rows of one of the tz database's tables."""
    text = files("tzdata").joinpath("zoneinfo", name).read_text("utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(tuple(line.split("\t")) for line in lines)
