"""Whom to name in any publication: carried by every file and every result that leaves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from aq_resources.networks import network_attribution
from aq_resources.warehouse import Warehouse

# The entry of a Parquet file's metadata.
ATTRIBUTION = "attribution"


def station_attributions(warehouse: Warehouse, network: str) -> dict[str, str]:
    """Attribution by station, as far as the network described its stations."""
    if not warehouse.has_table(network, "stations"):
        return {}
    query = f"SELECT station_id, attribution FROM {network}.stations WHERE attribution <> ''"
    return dict(warehouse.read(query).iter_rows())


def credited_to(
    network: str, stations: Collection[str], known: Mapping[str, str]
) -> dict[str, list[str]]:
    """Stations by whom to name for them; the network itself where that is not known, or where
    there is no station.
    """
    general = network_attribution(network)
    found: dict[str, list[str]] = {} if stations else {general: []}
    for station in sorted(stations):
        found.setdefault(known.get(station, general), []).append(station)
    return dict(sorted(found.items()))


def file_metadata(
    network: str, stations: Collection[str], known: Mapping[str, str]
) -> dict[str, str]:
    """Key-value metadata of a Parquet file: `credited_to` as a JSON object."""
    return {ATTRIBUTION: json.dumps(credited_to(network, stations, known), ensure_ascii=False)}
