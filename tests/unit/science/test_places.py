"""A device that moves: old days stay where they were measured."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_science.averages import daily_averages
from aq_science.places import PLACE_SCHEMA, moves, station_places, zones_elsewhere
from aq_science.tables.station_places import STATION_PLACES
from tests.factories import DAY, HOUR, MIDNIGHT, hourly
from tests.laws import examples

KAMPALA = {"name": "Kampala", "latitude": 0.3476, "longitude": 32.5825, "country": "UG"}
NAIROBI = {"name": "Nairobi", "latitude": -1.2864, "longitude": 36.8172, "country": "KE"}
LAGOS = {"name": "Lagos", "latitude": 6.5244, "longitude": 3.3792, "country": "NG"}


def said(*rows: tuple[datetime, dict[str, Any]], station: str = "aq_1") -> pl.DataFrame:
    nothing = dict.fromkeys(PLACE_SCHEMA)
    return pl.DataFrame(
        [
            {
                **nothing,
                "station_id": station,
                "hour": at,
                "pulled_at": MIDNIGHT + 30 * DAY,
                **place,
            }
            for at, place in rows
        ],
        schema=PLACE_SCHEMA,
        orient="row",
    )


def test_each_day_keeps_its_place_and_zone() -> None:
    found = station_places(
        said((MIDNIGHT, KAMPALA), (MIDNIGHT + 5 * HOUR, KAMPALA), (MIDNIGHT + 11 * DAY, NAIROBI)),
        "airqo",
    )
    assert found.schema == STATION_PLACES.schema
    assert found.select("date", "name", "timezone").rows() == [
        (MIDNIGHT.date(), "Kampala", "Africa/Kampala"),
        (MIDNIGHT.date() + 11 * DAY, "Nairobi", "Africa/Nairobi"),
    ]


def test_a_move_is_named() -> None:
    found = station_places(
        said((MIDNIGHT, KAMPALA), (MIDNIGHT + DAY, KAMPALA), (MIDNIGHT + 2 * DAY, NAIROBI)), "airqo"
    )
    assert moves(found).rows() == [("aq_1", MIDNIGHT.date() + 2 * DAY, "Kampala", "Nairobi")]


def test_of_a_day_on_the_road_the_last_place_counts() -> None:
    found = station_places(said((MIDNIGHT + 20 * HOUR, NAIROBI), (MIDNIGHT, KAMPALA)), "airqo")
    assert found["name"].to_list() == ["Nairobi"]


def test_a_record_without_a_place_says_nothing() -> None:
    found = station_places(said((MIDNIGHT, KAMPALA), (MIDNIGHT + HOUR, {})), "airqo")
    assert found["name"].to_list() == ["Kampala"]


def test_averages_follow_the_zone_of_the_day() -> None:
    """In Lagos (UTC+1) first, then in Nairobi (UTC+3), where it stands today."""
    readings = hourly([float(n) for n in range(96)], station="aq_1")
    places = station_places(said((MIDNIGHT + DAY, LAGOS), (MIDNIGHT + 2 * DAY, NAIROBI)), "airqo")
    zones = {"aq_1": "Africa/Nairobi"}
    dates = (MIDNIGHT.date() + DAY, MIDNIGHT.date() + 2 * DAY)
    found = daily_averages(readings, zones, dates, elsewhere=zones_elsewhere(places, zones))
    assert found.select("date", "timezone", "mean").rows() == [
        (dates[0], "Africa/Lagos", 23 + 11.5),
        (dates[1], "Africa/Nairobi", 45 + 11.5),
    ]


@settings(max_examples=examples(30))
@given(st.lists(st.sampled_from([None, "Africa/Lagos", "Africa/Nairobi"]), min_size=4, max_size=4))
def test_the_days_of_others_do_not_change(zones_of: list[str | None]) -> None:
    readings = pl.concat(
        [hourly([float(n % 30) for n in range(144)], station=name) for name in ("aq_1", "aq_2")]
    )
    zones = {"aq_1": "Africa/Nairobi", "aq_2": "UTC"}
    first = MIDNIGHT.date() + timedelta(days=1)
    days = [(first + n * DAY, zone) for n, zone in enumerate(zones_of) if zone is not None]
    elsewhere = pl.DataFrame(
        [("aq_1", day, zone) for day, zone in days if zone != zones["aq_1"]],
        schema={"station_id": pl.String, "date": pl.Date, "timezone": pl.String},
        orient="row",
    )
    dates: tuple[date, date] = (first, first + 3 * DAY)
    plain = daily_averages(readings, zones, dates)
    moved = daily_averages(readings, zones, dates, elsewhere=elsewhere)
    assert len(moved) == len(plain)
    others = pl.col("station_id").cast(pl.String) == "aq_2"
    assert moved.filter(others).equals(plain.filter(others))
    expected = dict(days)
    for day, zone in moved.filter(~others).select("date", "timezone").iter_rows():
        assert zone == expected.get(day, zones["aq_1"])
