"""Attribution: whom a publication has to credit, carried by every file and every result."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from aq_resources.networks import network_attribution
from aq_resources.warehouse.warehouse import Warehouse

# The entry of a Parquet file's metadata.
ATTRIBUTION = "attribution"


def station_attributions(warehouse: Warehouse, network: str) -> dict[str, str]:
    """Attribution by station, as far as the network described its stations."""
    query = f"SELECT station_id, attribution FROM {network}.stations WHERE attribution <> ''"
    return dict(warehouse.read(query).iter_rows())


def credited_to(
    network: str, stations: Collection[str], known: Mapping[str, str]
) -> dict[str, list[str]]:
    """Stations by their attribution.

    Args:
        network: Its own attribution stands for stations without one, and where there is no station.
        stations: Ids of the stations.
        known: Attribution by station id.

    Returns:
        Station ids in order, by attribution in order.
    """
    general = network_attribution(network)
    found: dict[str, list[str]] = {} if stations else {general: []}
    for station in sorted(stations):
        found.setdefault(known.get(station, general), []).append(station)
    return dict(sorted(found.items()))


def file_metadata(
    network: str, stations: Collection[str], known: Mapping[str, str]
) -> dict[str, str]:
    """Key-value metadata of a Parquet file.

    Args:
        network: As for `credited_to`.
        stations: As for `credited_to`.
        known: As for `credited_to`.

    Returns:
        One entry: `credited_to` as a JSON object.
    """
    return {ATTRIBUTION: json.dumps(credited_to(network, stations, known), ensure_ascii=False)}
