"""Filters as expressions: what they mean, and that nothing in them is taken for anything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.documents.columns import plain_schema
from aq_science.tables.station_history import STATION_HISTORY
from aq_serving.problems import ProblemError
from aq_serving.reader import Reader
from aq_serving.sensorthings import odata
from aq_serving.sensorthings.catalog import Catalog, make_catalog
from aq_serving.sensorthings.filters import Bounds, Translator, bounds_of
from aq_serving.sensorthings.model import ENTITY_SETS
from aq_serving.sensorthings.observations import SCHEMA, Observations
from aq_serving.sensorthings.options import parse_options
from aq_serving.sensorthings.service import Query
from tests.factories import DAY, HOUR, station_frame, utc

NOW = utc(2024, 3, 10, 10)
# Nothing is read.
NO_STORES = cast("Reader", None)
Row = dict[str, object]


def catalog() -> Catalog:
    stations = pl.concat(
        [
            station_frame("s1", parameters=["pm25", "co"], name="Grand 'Bassam'"),
            station_frame("s2", name="Plateau", latitude=None, longitude=None),
            station_frame(
                "b1",
                network="irceline",
                name="Ixelles",
                latitude=50.83,
                longitude=4.38,
                country="BE",
                parameters=["no2"],
            ),
        ]
    )
    schema = plain_schema(STATION_HISTORY)
    return make_catalog(stations, schema.to_frame())


CATALOG = catalog()


def translator(name: str) -> Translator:
    return Translator(ENTITY_SETS[name], CATALOG, NOW)


def found(name: str, text: str) -> list[str]:
    """Identifiers of the entities that fulfil a filter."""
    conditions = translator(name).conditions(odata.parse(text))
    return CATALOG[name].filter(conditions)["id"].to_list()


THINGS = ["airqino:s1", "airqino:s2", "irceline:b1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name eq 'Plateau'", ["airqino:s2"]),
        ("name eq 'Grand ''Bassam'''", ["airqino:s1"]),
        ("name ne 'Plateau'", ["airqino:s1", "irceline:b1"]),
        ("not(name eq 'Plateau') and properties/country eq 'CI'", ["airqino:s1"]),
        ("name eq 'Plateau' or properties/country eq 'BE'", ["airqino:s2", "irceline:b1"]),
        ("substringof('ell', name)", ["irceline:b1"]),
        ("contains(name,'a') and startswith(name,'P')", ["airqino:s2"]),
        ("endswith(tolower(name), 'au')", ["airqino:s2"]),
        ("length(name) gt 7", ["airqino:s1"]),
        ("length(name) mod 2 eq 0", ["airqino:s1"]),
        ("toupper(concat(name,'x')) eq 'IXELLESX'", ["irceline:b1"]),
        ("@iot.id eq 'irceline:b1'", ["irceline:b1"]),
        ("id in ('airqino:s1','irceline:b1')", ["airqino:s1", "irceline:b1"]),
        ("properties/licence eq null", ["airqino:s1", "airqino:s2"]),
        ("properties/first_seen lt 2024-03-01T01:00:00+01:00", []),
        ("properties/first_seen le 2024-03-01T01:00:00+01:00", THINGS),
        ("properties/first_seen lt now() sub duration'P9D'", THINGS),
        ("year(properties/first_seen) eq 2024 and month(properties/first_seen) eq 3", THINGS),
        ("date(properties/first_seen) eq 2024-03-01", THINGS),
        ("Datastreams/ObservedProperty/name eq 'co'", ["airqino:s1"]),
        ("Datastreams/properties/parameter eq 'no2'", ["irceline:b1"]),
        ("not (Datastreams/properties/parameter eq 'no2')", ["airqino:s1", "airqino:s2"]),
        (
            "Datastreams/any(d: d/properties/parameter eq 'co' and d/properties/series eq 'daily')",
            ["airqino:s1"],
        ),
        ("Datastreams/all(d: d/properties/parameter eq 'no2')", ["irceline:b1"]),
        (
            "st_within(Locations/location, geography'POLYGON ((4 50,5 50,5 51,4 51,4 50))')",
            ["irceline:b1"],
        ),
        (
            "st_disjoint(Locations/location, geography'POLYGON ((4 50,5 50,5 51,4 51,4 50))')",
            ["airqino:s1"],
        ),
        ("geo.distance(Locations/location, geography'POINT (4.4 50.8)') lt 0.1", ["irceline:b1"]),
        ("st_equals(Locations/location, geography'POINT(4.38 50.83)')", ["irceline:b1"]),
        ("Locations/location eq null", []),
        ("true", THINGS),
    ],
)
def test_filters_mean_what_the_standard_says(text: str, expected: list[str]) -> None:
    assert found("Things", text) == expected


def refusal(ask: Callable[[], object]) -> int | None:
    """Status of the refusal; None where there is none."""
    try:
        ask()
    except ProblemError as refused:
        return int(refused.status)
    return None


def test_a_hole_of_a_polygon_is_outside() -> None:
    ring, hole = "(0 0,10 0,10 60,0 60,0 0)", "(4 50,5 50,5 51,4 51,4 50)"
    inside = "st_within(location, geography'POLYGON ({})')"
    assert found("Locations", inside.format(ring)) == ["irceline:b1"]
    assert found("Locations", inside.format(f"{ring}, {hole}")) == []


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "nme eq 'x'",
        "name eq 1",
        "name gt null",
        "name eq properties/first_seen",
        "length(1) eq 1",
        "name add 1 eq 2",
        "sleep(10) eq 1",
        "Thing/name eq 'x'",
        "Datastreams/Observations/result gt 1",
        "Datastreams/name eq Locations/name",
        "properties/first_seen gt 2024-03-01T00:00:00",
        "st_within(Locations/location, geography'LINESTRING (1 1, 2 2)')",
        "st_within(Locations/location, geography'POLYGON ((1 1, 2 2, 1 1))')",
        "geo.distance(Locations/location, geography'POLYGON ((0 0,1 0,1 1,0 0))') lt 1",
        "st_within(name, geography'POINT (1 1)')",
        "length(name) gt 1e999",
        "name eq 'x",
        "not " * 200 + "true",
        "(" * 3000,
        "name eq 'x' or " * 300 + "true",
        "",
    ],
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        found("Things", text)
    assert refused.value.status == 400
    assert len(refused.value.detail) < 1000


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    assert refusal(lambda: found("Things", text)) in (None, 400)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_quoted_text_is_that_text(text: str) -> None:
    quoted = text.replace("'", "''")
    frame = pl.DataFrame({"id": ["1", "2"], "name": [text, f"{text}."]})
    [condition] = translator("Things").conditions(odata.parse(f"name eq '{quoted}'"))
    assert frame.filter(condition)["id"].to_list() == ["1"]


# Of Observations: a filter, and the same in Python.

_HOURS = st.integers(0, 47).map(lambda n: utc(2024, 3, 1) + n * HOUR)
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
Pair = tuple[str, Callable[[Row], bool]]


def _of_result(name: str, number: int) -> Pair:
    compare = _OPERATORS[name]

    def holds(row: Row) -> bool:
        value = row["result"]
        # Null is unlike every number, and neither less nor greater.
        return name == "ne" if value is None else compare(float(str(value)), number)

    return f"result {name} {number}", holds


def _of_time(name: str, hour: datetime) -> Pair:
    def holds(row: Row) -> bool:
        start, end = row["phenomenonTime"], row["phenomenonTime/end"]
        assert isinstance(start, datetime)
        assert isinstance(end, datetime)
        return {
            "eq": start == hour,
            "ne": start != hour,
            "lt": end <= hour,
            "le": end <= hour,
            "gt": start > hour,
            "ge": start >= hour,
        }[name]

    return f"phenomenonTime {name} {hour:%Y-%m-%dT%H:%M:%SZ}", holds


def _of_quality(flag: str) -> Pair:
    return f"resultQuality eq '{flag}'", lambda row: row["resultQuality"] == flag


_LEAVES = st.one_of(
    st.builds(_of_result, st.sampled_from([*_OPERATORS]), st.integers(-3, 3)),
    st.builds(_of_time, st.sampled_from([*_OPERATORS]), _HOURS),
    st.builds(_of_quality, st.sampled_from(["valid", "suspect"])),
)


def _joined(word: str, one: Pair, other: Pair) -> Pair:
    both = all if word == "and" else any
    return f"({one[0]}) {word} ({other[0]})", lambda row: both((one[1](row), other[1](row)))


_FILTERS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda one: (f"not ({one[0]})", lambda row: not one[1](row))),
        st.builds(_joined, st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=6,
)
_ROWS = pl.DataFrame(
    [
        {
            "id": f"o{n}",
            "phenomenonTime": utc(2024, 3, 1) + n * HOUR,
            "phenomenonTime/end": utc(2024, 3, 1) + (n + 1) * HOUR,
            "result": None if n % 5 == 0 else float(n % 7 - 3),
            "resultTime": utc(2024, 3, 1) + (n + 1) * HOUR,
            "resultQuality": "valid" if n % 3 else "suspect",
            "parameters": "{}",
            "_datastream": "d",
            "_feature": "f",
        }
        for n in range(48)
    ],
    SCHEMA,
)


@given(_FILTERS)
def test_filters_agree_with_python(pair: Pair) -> None:
    text, holds = pair
    conditions = translator("Observations").conditions(odata.parse(text))
    expected = [row["id"] for row in _ROWS.iter_rows(named=True) if holds(row)]
    assert _ROWS.filter(conditions)["id"].to_list() == expected


@given(_FILTERS)
def test_bounds_leave_out_nothing_that_fulfils_the_filter(pair: Pair) -> None:
    tree = odata.parse(pair[0])
    bounds = bounds_of(tree, "phenomenonTime", translator("Observations"))
    inside = _ROWS.filter(
        pl.col("phenomenonTime") >= (bounds.start or utc(1970)),
        pl.col("phenomenonTime") < (bounds.end or utc(2100)),
    )
    conditions = translator("Observations").conditions(tree)
    assert inside.filter(conditions).equals(_ROWS.filter(conditions))


def test_bounds_are_found_in_every_conjunct() -> None:
    text = (
        "result gt 1 and phenomenonTime ge 2024-03-01T00:00:00Z and "
        "2024-03-03T00:00:00Z ge phenomenonTime and phenomenonTime lt now()"
    )
    bounds = bounds_of(odata.parse(text), "phenomenonTime", translator("Observations"))
    assert bounds == Bounds(utc(2024, 3, 1), utc(2024, 3, 3) + timedelta(microseconds=1))
    assert bounds_of(
        odata.parse(f"not ({text})"), "phenomenonTime", translator("Observations")
    ) == (Bounds())


@given(
    st.sampled_from([name for name in ENTITY_SETS if name != "Observations"]),
    st.integers(1, 20),
    st.sampled_from(["", "id desc", "@iot.id"]),
)
def test_pages_have_every_entity_once(name: str, top: int, order: str) -> None:
    kind = ENTITY_SETS[name]
    query = Query(CATALOG, Observations(NO_STORES), NOW)
    asked = {"$top": str(top), "$orderby": order}
    rows: list[str] = []
    while True:
        page = query.page(query.all_of(kind), parse_options(asked.items(), kind), [])
        rows += page.rows["id"].to_list()
        if page.following is None:
            break
        asked |= {f"${key}": value for key, value in page.following.items()}
    assert sorted(rows) == CATALOG[name]["id"].to_list()
    assert rows == sorted(rows, reverse=order == "id desc")


def test_entities_are_sorted_by_what_they_belong_to() -> None:
    kind = ENTITY_SETS["Datastreams"]
    query = Query(CATALOG, Observations(NO_STORES), NOW)
    options = parse_options([("$orderby", "Thing/name desc,id")], kind)
    rows = query.page(query.all_of(kind), options, []).rows["properties/station_id"]
    assert rows.unique(maintain_order=True).to_list() == ["s2", "b1", "s1"]


def test_stations_that_moved_have_the_places_they_had() -> None:
    stations = station_frame("s1", latitude=1.0, longitude=2.0)
    first = {
        "network": "airqino",
        "station_id": "s1",
        "name": "a",
        "latitude": 1.0,
        "longitude": 2.0,
    }
    rows = [
        {**first, "valid_from": utc(2024)},
        # Another name alone is no move.
        {**first, "valid_from": utc(2024) + DAY, "name": "b"},
        {**first, "valid_from": utc(2024) + 2 * DAY, "latitude": 5.0},
        {**first, "valid_from": utc(2024) + 3 * DAY},
    ]
    schema = plain_schema(STATION_HISTORY)
    empty = dict.fromkeys(schema)
    history = pl.DataFrame([{**empty, **row} for row in rows], schema)
    made = make_catalog(stations, history)
    former = "airqino:s1:20240103T000000000000Z"
    assert made["Locations"].select("id", "latitude", "_thing").rows() == [
        ("airqino:s1", 1.0, "airqino:s1"),
        (former, 5.0, None),
    ]
    assert made["HistoricalLocations"].select("time", "_location").rows() == [
        (utc(2024), "airqino:s1"),
        (utc(2024) + 2 * DAY, former),
        (utc(2024) + 3 * DAY, "airqino:s1"),
    ]


def test_forecasts_are_of_the_parameters_that_have_them() -> None:
    names = found("Datastreams", "Thing/id eq 'irceline:b1'")
    assert names == ["irceline:b1:no2:daily", "irceline:b1:no2:hourly"]
    assert len(found("Datastreams", "Thing/id eq 'airqino:s1'")) == 8
