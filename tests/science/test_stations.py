"""Station rows: what is known better here wins, and what was known is not lost."""

from typing import Any

import polars as pl
import pytest

from aq_resources.tables import STATIONS
from aq_science.stations import station_rows, zone_at
from tests.factories import DAY, MIDNIGHT, station_frame

NONE = STATIONS.schema.to_frame()
NOW = MIDNIGHT + 10 * DAY


def described(station: str = "s1", *, seen: bool = True, **columns: Any) -> dict[str, Any]:
    silent = dict.fromkeys(("name", "latitude", "longitude", "country", "city", "timezone"))
    return {"station_id": station, **silent, "parameters": (), "seen": seen, **columns}


def row(
    *stations: dict[str, Any], overrides: dict | None = None, previous: pl.DataFrame = NONE
) -> dict[str, Any]:
    frame = station_rows("airqino", stations, overrides or {}, previous, NOW)
    assert len(frame) == 1
    return frame.row(0, named=True)


def test_new_station_is_taken_as_described() -> None:
    found = row(described(name="A", latitude=48.85, longitude=2.35, parameters=("pm25", "co")))
    assert (found["network"], found["station_id"], found["name"]) == ("airqino", "s1", "A")
    assert (found["timezone"], found["coordinates_source"]) == ("Europe/Paris", "upstream")
    assert found["parameters"] == ["co", "pm25"]
    assert found["first_seen"] == found["last_seen"] == NOW


@pytest.mark.parametrize(
    ("latitude", "longitude", "zone"),
    [
        (5.3357, -3.9782, "Africa/Abidjan"),
        (52.52, 13.40, "Europe/Berlin"),
        (27.7, 85.3, "Asia/Kathmandu"),
        (-43.95, -176.55, "Pacific/Chatham"),
        (None, 13.40, "UTC"),
        (52.52, None, "UTC"),
        (None, None, "UTC"),
    ],
)
def test_time_zone_of_a_position(
    latitude: float | None, longitude: float | None, zone: str
) -> None:
    assert zone_at(latitude, longitude) == zone


PARIS = {"latitude": 48.85, "longitude": 2.35}


@pytest.mark.parametrize(
    ("said", "override", "zone"),
    [
        pytest.param(PARIS, {}, "Europe/Paris", id="position"),
        pytest.param({**PARIS, "timezone": "Asia/Tokyo"}, {}, "Asia/Tokyo", id="network"),
        pytest.param(
            {**PARIS, "timezone": "Asia/Tokyo"},
            {"timezone": "Africa/Abidjan"},
            "Africa/Abidjan",
            id="override",
        ),
        pytest.param(
            PARIS, {"latitude": 5.3, "longitude": -4.0}, "Africa/Abidjan", id="overridden-position"
        ),
    ],
)
def test_time_zone_from_override_then_network_then_position(
    said: dict, override: dict, zone: str
) -> None:
    assert row(described(**said), overrides={"s1": override})["timezone"] == zone


def test_override_wins_where_it_says_something() -> None:
    override = {"name": "better", "latitude": 5.3, "longitude": -4.0, "city": None}
    found = row(described(name="A", city="Paris", **PARIS), overrides={"s1": override})
    assert (found["name"], found["city"]) == ("better", "Paris")
    assert (found["latitude"], found["longitude"]) == (5.3, -4.0)
    assert found["coordinates_source"] == "override"


def test_override_of_another_station_does_nothing() -> None:
    assert row(described(name="A"), overrides={"s2": {"name": "B"}})["name"] == "A"


def test_station_without_a_position_has_no_source_of_it() -> None:
    assert row(described())["coordinates_source"] is None


def test_seen_again_moves_last_seen_only() -> None:
    found = row(described(), previous=station_frame("s1"))
    assert (found["first_seen"], found["last_seen"]) == (MIDNIGHT, NOW)


def test_first_sight_of_a_station_known_by_name_only() -> None:
    before = station_frame("s1", first_seen=None, last_seen=None)
    found = row(described(), previous=before)
    assert (found["first_seen"], found["last_seen"]) == (NOW, NOW)


def test_station_not_described_keeps_its_row() -> None:
    before = station_frame("s1", timezone="Asia/Tokyo", latitude=None, longitude=None)
    assert row(described(seen=False), previous=before) == before.row(0, named=True)


def test_station_not_described_takes_an_override_all_the_same() -> None:
    before = station_frame("s1", timezone="UTC")
    override = {"latitude": 48.85, "longitude": 2.35, "name": "better"}
    found = row(described(seen=False), overrides={"s1": override}, previous=before)
    assert (found["name"], found["latitude"], found["timezone"]) == (
        "better",
        48.85,
        "Europe/Paris",
    )
    assert (found["coordinates_source"], found["last_seen"]) == ("override", MIDNIGHT)


def test_station_never_described_has_a_row_without_dates() -> None:
    found = row(described(seen=False), overrides={"s1": {"timezone": "Asia/Tokyo"}})
    assert (found["first_seen"], found["last_seen"]) == (None, None)
    assert found["timezone"] == "Asia/Tokyo"


def test_silence_about_a_field_keeps_what_was_said_before() -> None:
    found = row(described(parameters=("co",)), previous=station_frame("s1", name="old"))
    assert (found["name"], found["city"], found["latitude"]) == ("old", "Abidjan", 5.3)
    assert found["parameters"] == ["co", "pm25"]


def test_station_the_network_no_longer_lists_keeps_its_row() -> None:
    """Its readings stay, and their days still need its time zone."""
    before = station_frame("gone")
    frame = station_rows("airqino", [described("s1")], {}, before, NOW)
    assert frame["station_id"].to_list() == ["gone", "s1"]
    assert frame.row(0, named=True) == before.row(0, named=True)


def test_rows_are_sorted_and_of_the_declared_schema() -> None:
    frame = station_rows("n", [described("b"), described("a")], {}, NONE, NOW)
    assert frame.schema == STATIONS.schema
    assert frame["station_id"].to_list() == ["a", "b"]
    assert station_rows("n", [], {}, NONE, NOW).schema == STATIONS.schema
