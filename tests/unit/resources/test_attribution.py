"""Whom to name for the stations of a file."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.attribution import credited_to, station_attributions
from aq_resources.networks import known_networks, network_attribution, network_is_pushed
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.stations import STATIONS
from tests.factories import station_frame

GENERAL = network_attribution("openaq")
NAMES = st.text("abc", min_size=1, max_size=2)


def test_stations_are_listed_by_whom_to_name() -> None:
    known = {"1": "Beta", "2": "Alpha", "3": "Beta", "9": "not asked for"}
    found = credited_to("openaq", ["4", "3", "2", "1"], known)
    assert found == {"Alpha": ["2"], "Beta": ["1", "3"], GENERAL: ["4"]}
    assert list(found) == sorted(found)


def test_a_file_without_stations_names_the_network() -> None:
    assert credited_to("openaq", [], {"1": "Alpha"}) == {GENERAL: []}


@given(st.sets(NAMES), st.dictionaries(NAMES, NAMES))
def test_every_station_is_credited_once(stations: set[str], known: dict[str, str]) -> None:
    found = credited_to("openaq", stations, known)
    credited = {station: text for text, members in found.items() for station in members}
    assert credited == {station: known.get(station, GENERAL) for station in stations}
    assert sum(map(len, found.values())) == len(stations)
    assert found


@pytest.mark.parametrize("network", known_networks())
def test_every_network_says_whom_to_name(network: str) -> None:
    # Devices belong to their fleets, which have no address.
    assert "https://" in network_attribution(network) or network_is_pushed(network)


def test_attributions_of_the_stations_described(
    location: WarehouseLocation,
) -> None:
    with closing(Warehouse(location, networks={"openaq": (STATIONS,)})) as warehouse:
        assert station_attributions(warehouse, "openaq") == {}
        rows = [
            station_frame(name, network="openaq", attribution=text)
            for name, text in (("1", "Alpha"), ("2", ""), ("3", None))
        ]
        warehouse.replace("openaq", STATIONS, rows[0].extend(rows[1]).extend(rows[2]))
        assert station_attributions(warehouse, "openaq") == {"1": "Alpha"}
