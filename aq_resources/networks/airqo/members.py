"""Devices behind the configured entries, and what AirQo's metadata say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.network_client import Failure, Station
from aq_resources.network_toolkit.bodies import as_dict, dicts_in
from aq_resources.network_toolkit.pulls import MAX_PAGES
from aq_resources.networks.airqo.bodies import as_count, position
from aq_resources.networks.airqo.settings import ATTRIBUTION, TITLE
from aq_science.stations import country_code

METADATA = "/api/v2/devices/metadata"
# More than any documented page; the server cuts it to its own size and says so in `meta`.
ASKED_RECORDS = 1000

# Path and parameters -> body. Raises `TransientFailure` or `PermanentFailure`.
Get = Callable[[str, dict[str, str]], dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One configured entry: a device by name, or an AirQo site, grid or cohort by id."""

    text: str
    kind: Literal["device", "site", "grid", "cohort"]
    name: str

    @classmethod
    def read(cls, text: str) -> Entry:
        """An entry of `networks.airqo.stations`. Raises `SettingsError`."""
        kind, _, name = text.rpartition(":")
        match kind:
            case "" | "device":
                return cls(text, "device", name)
            case "site" | "grid" | "cohort":
                return cls(text, kind, name)
        raise SettingsError(
            f"networks.airqo.stations: {text!r}: write a device's name, or site:…, grid:… or "
            "cohort:… with an id."
        )


@dataclass(frozen=True)
class Members:
    """Device names of each entry, v2's id of each device, and entries that could not be read."""

    names: dict[str, tuple[str, ...]]
    ids: dict[str, str]
    failures: dict[str, Failure]


def find_members(entries: Iterable[Entry], get: Get) -> Members:
    """Devices of every entry, by the list of devices and the members of each group."""
    names: dict[str, tuple[str, ...]] = {}
    failures: dict[str, Failure] = {}
    rows: list[dict[str, Any]] = []
    listed_failure: Failure | None = None
    if any(entry.kind in ("device", "site") for entry in entries):
        try:
            rows = listed("devices", get)
        except (TransientFailure, PermanentFailure) as failure:
            listed_failure = failure
    ids = {str(row["name"]): str(row["_id"]) for row in rows if {"name", "_id"} <= row.keys()}
    for entry in entries:
        if entry.kind in ("device", "site") and listed_failure is not None:
            failures[entry.text] = listed_failure
        elif entry.kind == "device" and entry.name not in ids:
            failures[entry.text] = PermanentFailure(
                f"AirQo knows no device {entry.name!r}: correct networks.airqo.stations."
            )
        elif entry.kind == "device":
            names[entry.text] = (entry.name,)
        elif entry.kind == "site":
            names[entry.text] = tuple(
                str(row["name"])
                for row in rows
                if row.get("site_id") == entry.name and "name" in row
            )
        else:
            try:
                body = get(f"/api/v2/devices/{entry.kind}s/{entry.name}/generate", {})
            except (TransientFailure, PermanentFailure) as failure:
                failures[entry.text] = failure
                continue
            names[entry.text] = tuple(
                str(device["device_name"])
                for site in dicts_in(body.get("sites"))
                for device in dicts_in(site.get("devices"))
                if device.get("device_name")
            )
    return Members(names, ids, failures)


def listed(what: str, get: Get) -> list[dict[str, Any]]:
    """A whole metadata list, page by page."""
    found: list[dict[str, Any]] = []
    for _ in range(MAX_PAGES):
        body = get(f"{METADATA}/{what}", {"limit": str(ASKED_RECORDS), "skip": str(len(found))})
        rows, meta = dicts_in(body.get(what)), as_dict(body.get("meta"))
        if rows and rows[0] in found[:1]:
            # A server that does not know `skip` sends its one page again.
            return found
        found += rows
        total, limit = as_count(meta.get("total")), as_count(meta.get("limit"))
        full = limit is None or len(rows) >= limit or (total is not None and len(found) < total)
        if not rows or not full:
            return found
    raise TransientFailure(f"{TITLE}'s list of {what} has no end: {len(found)} and more")


def describe(name: str, device: dict[str, Any], sites: dict[str, dict[str, Any]]) -> Station:
    """A device as a station.

    Args:
        name: The device's name.
        device: Its metadata.
        sites: The sites' metadata by id.

    Returns:
        The station, with the name and place of its site.
    """
    site = sites.get(str(device.get("site_id")), {})
    provider, city, country = (site.get(key) for key in ("data_provider", "city", "country"))
    latitude, longitude = position(site)
    return Station(
        name,
        name=str(site.get("long_name") or site.get("name") or name),
        latitude=latitude,
        longitude=longitude,
        country=country_code(country) if isinstance(country, str) else None,
        city=city if isinstance(city, str) else None,
        # The metadata do not say what is measured; AirQo's own low-cost devices all do the same.
        parameters=("pm10", "pm25") if device.get("category") == "lowcost" else (),
        attribution=(
            f"{provider}, through {ATTRIBUTION}"
            if isinstance(provider, str) and provider.lower() != "airqo"
            else ATTRIBUTION
        ),
    )
