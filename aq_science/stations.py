"""Station rows: what the network says, what is known better here, and when it was seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

UNKNOWN_ZONE = "UTC"


def zone_at(latitude: float | None, longitude: float | None) -> str:
    """IANA time zone at a position, UTC where there is none."""
    if latitude is None or longitude is None:
        return UNKNOWN_ZONE
    from tzfpy import get_tz

    return get_tz(longitude, latitude) or UNKNOWN_ZONE


def station_rows(
    network: str,
    described: Iterable[Mapping[str, Any]],
    overrides: Mapping[str, Mapping[str, Any]],
    previous: pl.DataFrame,
    seen_at: datetime,
) -> pl.DataFrame:
    """Rows of the station dimension, sorted by id, with the columns and types of ``previous``.

    ``described``: one mapping a station, with ``station_id`` and ``seen`` (whether the network
    described it just now). ``overrides`` by station id win over the network. A station that the
    network did not describe, or no longer lists, keeps its previous row, with what is overridden:
    its readings stay. A time zone comes from the override, the network, or the position, in this
    order.
    """
    before = {row["station_id"]: row for row in previous.iter_rows(named=True)}
    described = list(described)
    silent = before.keys() - {station["station_id"] for station in described}
    unlisted = [{"station_id": name, "parameters": (), "seen": False} for name in silent]
    rows = []
    for station in [*described, *unlisted]:
        station_id = station["station_id"]
        old = before.get(station_id, {})
        better = {k: v for k, v in overrides.get(station_id, {}).items() if v is not None}
        said = {k: v for k, v in station.items() if k != "seen" and v not in (None, ())}
        row: dict[str, Any] = {**old, **said, **better, "network": network}
        row["parameters"] = sorted({*(old.get("parameters") or ()), *station["parameters"]})
        row["timezone"] = (
            better.get("timezone")
            or station.get("timezone")
            or (None if station["seen"] or "latitude" in better else old.get("timezone"))
            or zone_at(row.get("latitude"), row.get("longitude"))
        )
        if row.get("latitude") is not None:
            row["coordinates_source"] = "override" if "latitude" in better else "upstream"
        if station["seen"]:
            row["first_seen"] = old.get("first_seen") or seen_at
            row["last_seen"] = seen_at
        rows.append({column: row.get(column) for column in previous.columns})
    return pl.DataFrame(rows, schema=previous.schema, orient="row").sort("station_id")
