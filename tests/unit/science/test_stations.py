"""Station rows: what is known better here wins, and what was known is not lost."""

import math
from importlib import resources
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aq_science.stations import (
    PROBLEM_SCHEMA,
    country_code,
    distance_km,
    km_between,
    position_problem,
    station_rows,
    zone_at,
)
from aq_science.tables.stations import STATIONS
from tests.factories import DAY, MIDNIGHT, station_frame

NONE = STATIONS.schema.to_frame()
NOW = MIDNIGHT + 10 * DAY


class Position(TypedDict, total=False):
    latitude: float
    longitude: float
    country: str


def described(station: str = "s1", *, seen: bool = True, **columns: Any) -> dict[str, Any]:
    silent = dict.fromkeys(("name", "latitude", "longitude", "country", "city", "timezone"))
    return {"station_id": station, **silent, "parameters": (), "seen": seen, **columns}


def row(
    *stations: dict[str, Any], overrides: dict | None = None, previous: pl.DataFrame = NONE
) -> dict[str, Any]:
    frame, _ = station_rows("airqino", stations, overrides or {}, previous, NOW)
    assert len(frame) == 1
    return frame.row(0, named=True)


def problems(
    *stations: dict[str, Any], overrides: dict | None = None, previous: pl.DataFrame = NONE
) -> list[dict[str, Any]]:
    _, found = station_rows("airqino", stations, overrides or {}, previous, NOW)
    assert found.schema == PROBLEM_SCHEMA
    return found.to_dicts()


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
        # On a pier, beyond the territorial sea, and on the ocean.
        (5.20, -4.01, "Africa/Abidjan"),
        (4.95, -4.01, None),
        (0.0, -30.0, None),
        (91.0, 13.40, None),
        (math.nan, 13.40, None),
        (None, 13.40, None),
        (52.52, None, None),
        (None, None, None),
    ],
)
def test_time_zone_of_a_position(
    latitude: float | None, longitude: float | None, zone: str | None
) -> None:
    assert zone_at(latitude, longitude) == zone


def test_a_position_just_outside_its_country_has_the_nearest_zone_of_it() -> None:
    assert zone_at(4.95, -4.01, "CI") == "Africa/Abidjan"
    assert zone_at(50.63, 3.06, "BE") == "Europe/Brussels"
    assert zone_at(50.63, 3.06, "FR") == zone_at(50.63, 3.06) == "Europe/Paris"
    assert zone_at(38.25, -85.76, "US") == "America/Kentucky/Louisville"


PARIS: Position = {"latitude": 48.85, "longitude": 2.35}


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
    before = station_frame(
        "s1", timezone="Asia/Tokyo", latitude=None, longitude=None, coordinates_source=None
    )
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


def test_silence_about_the_attribution_keeps_it() -> None:
    """The station's readings are still its provider's."""
    before = station_frame("s1", attribution="Ministère (CC BY 4.0)")
    found = row(described(seen=False, attribution=""), previous=before)
    assert found["attribution"] == "Ministère (CC BY 4.0)"


def test_station_the_network_no_longer_lists_keeps_its_row() -> None:
    """Its readings stay, and their days still need its time zone."""
    before = station_frame("gone")
    frame, _ = station_rows("airqino", [described("s1")], {}, before, NOW)
    assert frame["station_id"].to_list() == ["gone", "s1"]
    assert frame.row(0, named=True) == before.row(0, named=True)


def test_rows_are_sorted_and_of_the_declared_schema() -> None:
    frame, wrong = station_rows("n", [described("b"), described("a")], {}, NONE, NOW)
    assert frame.schema == STATIONS.schema
    assert frame["station_id"].to_list() == ["a", "b"]
    assert wrong["station_id"].to_list() == ["a", "b"]
    nothing, fine = station_rows("n", [], {}, NONE, NOW)
    assert (nothing.schema, fine.schema) == (STATIONS.schema, PROBLEM_SCHEMA)
    assert fine.is_empty()


# Wrong positions

ABIDJAN: Position = {"latitude": 5.3357, "longitude": -3.9782, "country": "CI"}


@pytest.mark.parametrize(
    ("latitude", "longitude", "country", "problem"),
    [
        pytest.param(5.3357, -3.9782, "CI", None, id="right"),
        pytest.param(5.3357, -3.9782, "ci", None, id="small-letters"),
        pytest.param(5.3357, -3.9782, None, None, id="country-unknown"),
        pytest.param(5.3357, -3.9782, "XK", None, id="country-without-zones"),
        pytest.param(0.0, 0.0, "GH", "zero", id="zero"),
        pytest.param(0.0, 0.0, None, "zero", id="zero-without-country"),
        pytest.param(0.0, 32.5, "UG", None, id="on-the-equator"),
        pytest.param(-3.9782, 5.3357, "CI", "swapped", id="swapped"),
        pytest.param(106.7, 10.78, "VN", "swapped", id="swapped-is-no-latitude"),
        pytest.param(106.7, 10.78, None, "out_of_range", id="no-latitude"),
        pytest.param(10.78, 190.0, "VN", "out_of_range", id="no-longitude"),
        pytest.param(math.nan, 4.4, "BE", "out_of_range", id="no-number"),
        pytest.param(51.2, math.inf, "BE", "out_of_range", id="endless"),
        # What AirQino's answers say of SMART188 and SMART189.
        pytest.param(5.369345664978027, 0.05000000074505806, "CI", "far_from_country", id="188"),
        pytest.param(5.3653, 3.9577, "CI", "far_from_country", id="189"),
        pytest.param(5.3653, 3.9577, None, "far_from_country", id="ocean"),
        pytest.param(5.369345664978027, 0.05000000074505806, None, "far_from_country", id="sea"),
        pytest.param(50.85, 4.35, "CI", "far_from_country", id="another-country"),
        # The border at Lille is 10 km from Kortrijk's outskirts; Paris is 200 km from it.
        pytest.param(50.63, 3.06, "BE", None, id="just-across-the-border"),
        pytest.param(48.85, 2.35, "BE", "far_from_country", id="well-across-the-border"),
        pytest.param(21.03, 105.85, "VN", None, id="hanoi-has-bangkoks-zone"),
        pytest.param(-20.9, 55.5, "FR", None, id="reunion-as-france"),
        pytest.param(-20.9, 55.5, "RE", None, id="reunion"),
        pytest.param(18.4, -66.1, "US", None, id="puerto-rico-as-united-states"),
        pytest.param(-16.8, 179.99, "FJ", None, id="date-line"),
        pytest.param(-90.0, 0.0, "AQ", None, id="pole"),
        pytest.param(78.22, 15.65, "NO", None, id="far-north"),
        pytest.param(43.9167, 12.4979, "SM", None, id="just-outside-a-small-country"),
        pytest.param(43.9167, 13.2, "SM", "far_from_country", id="well-outside-a-small-country"),
        pytest.param(41.70, 12.70, "VA", None, id="outside-the-smallest"),
        pytest.param(41.45, 12.90, "VA", "far_from_country", id="south-of-the-smallest"),
    ],
)
def test_problem_of_a_position(
    latitude: float, longitude: float, country: str | None, problem: str | None
) -> None:
    assert position_problem(latitude, longitude, country) == problem


def degrees(text: str) -> float:
    """`±DDMM`, `±DDDMM`, `±DDMMSS` or `±DDDMMSS`, as in zone.tab."""
    sign, digits = -1 if text[0] == "-" else 1, text[1:]
    whole = len(digits) - (2 if len(digits) < 6 else 4)
    minutes, seconds = int(digits[whole : whole + 2]), int(digits[whole + 2 :] or 0)
    return sign * (int(digits[:whole]) + minutes / 60 + seconds / 3600)


def known_places() -> list[tuple[str, str, float, float]]:
    """Country, zone, latitude and longitude of the chief place of every time zone."""
    text = resources.files("tzdata").joinpath("zoneinfo/zone.tab").read_text("utf-8")
    places = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        country, position, zone, *_ = line.split("\t")
        cut = max(position.rfind("+"), position.rfind("-"))
        places.append((country, zone, degrees(position[:cut]), degrees(position[cut:])))
    return places


PLACES = known_places()


def test_no_true_place_of_any_country_is_reported() -> None:
    assert len(PLACES) > 400
    for country, _, latitude, longitude in PLACES:
        assert position_problem(latitude, longitude, country) is None, (country, latitude)
        assert position_problem(latitude, longitude, None) is None


def test_a_place_has_its_own_time_zone() -> None:
    # Xinjiang has two times, and China's is the official one.
    other = {
        zone: found
        for country, zone, latitude, longitude in PLACES
        if (found := zone_at(latitude, longitude, country)) != zone
    }
    assert other == {"Asia/Urumqi": "Asia/Shanghai"}


NEARBY = st.floats(-0.05, 0.05)


@given(st.sampled_from(PLACES), NEARBY, NEARBY)
def test_a_place_is_fine_and_swapped_is_told_and_swapped_twice_is_fine(
    place: tuple[str, str, float, float], north: float, east: float
) -> None:
    country, _, latitude, longitude = place
    latitude = max(-90.0, min(90.0, latitude + north))
    longitude = max(-180.0, min(180.0, longitude + east))
    assert position_problem(latitude, longitude, country) is None
    # Few countries hold both.
    assert position_problem(longitude, latitude, country) in ("swapped", None)


@given(st.floats(), st.floats(), st.sampled_from([None, "CI", "BE", "XK", "", "FR"]))
def test_any_numbers_are_a_position_or_a_problem(
    latitude: float, longitude: float, country: str | None
) -> None:
    problem = position_problem(latitude, longitude, country)
    zone = zone_at(latitude, longitude, country)
    assert problem in (None, "zero", "swapped", "out_of_range", "far_from_country")
    assert problem == "zero" or (problem is None) == (zone is not None)
    if problem == "swapped":
        assert position_problem(longitude, latitude, country) is None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        assert problem in ("swapped", "out_of_range")


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.sampled_from([None, "CI", "BE"]),
    st.sampled_from([None, "Asia/Tokyo"]),
)
def test_a_row_holds_no_wrong_position_and_a_time_zone_that_exists(
    latitude: float, longitude: float, country: str | None, zone: str | None
) -> None:
    said = described(latitude=latitude, longitude=longitude, country=country, timezone=zone)
    found = row(said)
    wrong = problems(said)
    ZoneInfo(found["timezone"])
    if found["latitude"] is None:
        assert found["coordinates_source"] is None
        assert [(p["latitude"], p["longitude"]) for p in wrong] == [(latitude, longitude)]
    else:
        assert (found["latitude"], found["longitude"]) == (latitude, longitude)
        assert position_problem(latitude, longitude, country) is None
        assert wrong == []


SWAPPED: Position = {"latitude": -3.9782, "longitude": 5.3357, "country": "CI"}


def test_a_wrong_position_is_missing_and_shown_with_what_to_write() -> None:
    said = described(name="A", **SWAPPED)
    found = row(said)
    assert (found["latitude"], found["longitude"], found["coordinates_source"]) == (None,) * 3
    assert found["timezone"] == "Africa/Abidjan"
    assert problems(said) == [
        {
            "station_id": "s1",
            "name": "A",
            "problem": "swapped",
            "latitude": -3.9782,
            "longitude": 5.3357,
            "country": "CI",
            "timezone": "Africa/Abidjan",
            "override": '"s1": {latitude: 5.3357, longitude: -3.9782}',
        }
    ]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"latitude": 0.0, "longitude": 0.0}, '"s1": {latitude: …, longitude: …}'),
        ({"latitude": 5.36, "longitude": 3.95}, '"s1": {latitude: …, longitude: …}'),
        ({}, '"s1": {timezone: …}'),
    ],
)
def test_the_override_to_complete(said: dict, line: str) -> None:
    assert [problem["override"] for problem in problems(described(**said))] == [line]


def test_the_override_that_is_shown_mends_it() -> None:
    (problem,) = problems(described(**SWAPPED))
    overrides = yaml.safe_load(problem["override"])
    found = row(described(**SWAPPED), overrides=overrides)
    assert {name: found[name] for name in ABIDJAN} == ABIDJAN
    assert found["coordinates_source"] == "override"
    assert problems(described(**SWAPPED), overrides=overrides) == []


def test_an_overriding_position_is_believed_and_told_where_it_looks_wrong() -> None:
    override = {"latitude": 48.85, "longitude": 2.35}
    found = row(described(**ABIDJAN), overrides={"s1": override})
    assert (found["latitude"], found["coordinates_source"]) == (48.85, "override")
    assert found["timezone"] == "Europe/Paris"
    (problem,) = problems(described(**ABIDJAN), overrides={"s1": override})
    assert (problem["problem"], problem["latitude"]) == ("far_from_country", 48.85)
    right = {**override, "country": "FR"}
    assert problems(described(**ABIDJAN), overrides={"s1": right}) == []


def test_the_overriding_country_decides_where_a_position_may_be() -> None:
    said = described(latitude=5.3653, longitude=-3.9577, country="GH")
    assert [p["problem"] for p in problems(said)] == ["far_from_country"]
    assert problems(said, overrides={"s1": {"country": "CI"}}) == []


def test_a_good_position_known_before_outlives_a_wrong_one() -> None:
    before = station_frame("s1")
    found = row(described(latitude=0.0, longitude=0.0), previous=before)
    assert (found["latitude"], found["longitude"]) == (5.3, -4.0)
    (problem,) = problems(described(latitude=0.0, longitude=0.0), previous=before)
    assert (problem["problem"], problem["latitude"]) == ("zero", 0.0)


@pytest.mark.parametrize("seen", [True, False])
def test_a_wrong_position_stored_before_goes(seen: bool) -> None:
    before = station_frame("s1", longitude=4.0, timezone="Etc/GMT")
    assert row(described(seen=seen), previous=before)["latitude"] is None
    (problem,) = problems(described(seen=seen), previous=before)
    assert (problem["problem"], problem["longitude"]) == ("far_from_country", 4.0)


def test_a_position_goes_with_its_override() -> None:
    before = station_frame("s1", coordinates_source="override")
    assert row(described(), previous=before)["latitude"] is None
    found = row(described(**PARIS, country="FR"), previous=before)
    assert (found["latitude"], found["coordinates_source"]) == (48.85, "upstream")


def test_half_a_position_is_none() -> None:
    found = row(described(latitude=5.3, country="CI"))
    assert (found["latitude"], found["longitude"], found["timezone"]) == (
        None,
        None,
        "Africa/Abidjan",
    )


@pytest.mark.parametrize(
    ("said", "override", "zone"),
    [
        pytest.param({"country": "CI"}, {}, "Africa/Abidjan", id="country-with-one-zone"),
        pytest.param({"country": "CD"}, {}, None, id="country-with-two"),
        pytest.param({"country": "XK"}, {}, None, id="country-without"),
        pytest.param({}, {}, None, id="nothing-known"),
        pytest.param(SWAPPED, {}, "Africa/Abidjan", id="wrong-position"),
        pytest.param({"timezone": "UTC"}, {}, "UTC", id="utc-is-an-answer"),
        pytest.param({}, {"timezone": "Asia/Tokyo"}, "Asia/Tokyo", id="override"),
    ],
)
def test_time_zone_without_a_position(said: dict, override: dict, zone: str | None) -> None:
    """Where nothing tells, UTC and a problem that names the station."""
    station = described(**said)
    assert row(station, overrides={"s1": override})["timezone"] == (zone or "UTC")
    told = [p["problem"] for p in problems(station, overrides={"s1": override})]
    assert ("no_time_zone" in told) is (zone is None)


NO_ZONES = ["Asia/Hanoi", "GMT+05:30", "Factory", "local", "../etc", "\0"]


@pytest.mark.parametrize("zone", NO_ZONES)
@pytest.mark.parametrize("overridden", [False, True])
def test_what_is_no_time_zone_gives_way_to_that_of_the_position(
    zone: str, overridden: bool
) -> None:
    station = described(**PARIS, timezone=None if overridden else zone)
    overrides = {"s1": {"timezone": zone}} if overridden else {}
    assert row(station, overrides=overrides)["timezone"] == "Europe/Paris"
    told = [(one["problem"], one["override"]) for one in problems(station, overrides=overrides)]
    assert told == [("unknown_time_zone", '"s1": {timezone: Europe/Paris}')]


@pytest.mark.parametrize("zone", NO_ZONES)
def test_one_that_an_earlier_version_stored_gives_way_too(zone: str) -> None:
    before = station_frame("s1", timezone=zone)
    assert row(described(seen=False), previous=before)["timezone"] == "Africa/Abidjan"


def test_blanks_around_a_time_zone_mean_nothing() -> None:
    found = row(described(**PARIS, timezone=" Africa/Abidjan "))
    assert found["timezone"] == "Africa/Abidjan"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Uganda", "UG"),
        (" uganda ", "UG"),
        ("Côte d\u2019Ivoire", "CI"),
        ("Democratic Republic of the Congo", "CD"),
        ("Atlantis", None),
        ("", None),
    ],
)
def test_country_code_of_a_name(name: str, code: str | None) -> None:
    assert country_code(name) == code


POINTS = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(POINTS, POINTS)
def test_the_distance_of_rows_is_that_of_two_points(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    rows = pl.DataFrame([other], {"latitude": pl.Float64, "longitude": pl.Float64}, orient="row")
    [found] = rows.select(distance_km(one)).to_series()
    assert found == pytest.approx(km_between(one, other), abs=1e-3)
