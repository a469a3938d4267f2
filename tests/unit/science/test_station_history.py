"""Stations in the course of time: what changed and when, and in which zone old days were."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.station_history import former_zones, moves, station_history
from aq_science.tables.core import broken_rows
from aq_science.tables.station_history import STATION_HISTORY
from tests.factories import station_frame, utc

NOTHING = STATION_HISTORY.schema.to_frame()
KAMPALA = {"latitude": 0.32, "longitude": 32.58, "timezone": "Africa/Kampala", "name": "Kampala"}
LAGOS = {"latitude": 6.52, "longitude": 3.38, "timezone": "Africa/Lagos", "name": "Lagos"}


def seen(at: datetime, *stations: str, **columns: Any) -> pl.DataFrame:
    return station_frame(*(stations or ("s1",)), first_seen=utc(2024), last_seen=at, **columns)


def after(*descriptions: pl.DataFrame) -> pl.DataFrame:
    history = NOTHING
    for stations in descriptions:
        history = station_history(history, stations)
        assert all(bad.is_empty() for bad in broken_rows(STATION_HISTORY, history).values())
    return history


MOVED = after(seen(utc(2024, 1, 5), **KAMPALA), seen(utc(2024, 3, 10), **LAGOS))


def test_a_move_closes_one_description_and_opens_another() -> None:
    rows = MOVED.select("name", "valid_from", "valid_to", "moved_km").rows()
    assert rows == [
        ("Kampala", utc(2024), utc(2024, 3, 10), None),
        ("Lagos", utc(2024, 3, 10), None, pytest.approx(3313, rel=0.01)),
    ]
    assert moves(MOVED)["name"].to_list() == ["Lagos"]


def test_old_days_keep_the_zone_that_they_were_measured_in() -> None:
    found = former_zones(MOVED, {"s1": "Africa/Lagos"}, (date(2024, 3, 8), date(2024, 3, 11)))
    kampala = "Africa/Kampala"
    assert found.rows() == [("s1", date(2024, 3, 8), kampala), ("s1", date(2024, 3, 9), kampala)]


def test_days_before_the_first_description_are_of_the_first_place() -> None:
    long_ago = date(2019, 7, 1)
    found = former_zones(MOVED, {"s1": "Africa/Lagos"}, (long_ago, long_ago))
    assert found["timezone"].to_list() == ["Africa/Kampala"]


def test_a_name_alone_is_no_move() -> None:
    renamed = after(seen(utc(2024, 2, 1)), seen(utc(2024, 3, 1), name="elsewhere"))
    assert renamed["name"].to_list() == ["somewhere", "elsewhere"]
    assert renamed["moved_km"].to_list() == [None, 0.0]
    assert moves(renamed).is_empty()


def test_a_zone_that_changes_where_the_station_stands_is_a_correction() -> None:
    corrected = after(
        seen(utc(2024, 2, 1), timezone="UTC"), seen(utc(2024, 3, 1), timezone="Europe/Rome")
    )
    assert len(corrected) == 2
    dates = (date(2024, 2, 1), date(2024, 2, 2))
    assert former_zones(corrected, {"s1": "Europe/Rome"}, dates).is_empty()


def test_an_override_is_a_correction() -> None:
    history = after(
        seen(utc(2024, 1, 5), **KAMPALA),
        seen(utc(2024, 3, 10), coordinates_source="override", **LAGOS),
    )
    assert history["moved_km"].to_list() == [None, None]
    dates = (date(2024, 1, 6), date(2024, 1, 6))
    assert former_zones(history, {"s1": "Africa/Lagos"}, dates).is_empty()


def test_a_corrected_zone_of_a_former_place_holds_for_all_its_days() -> None:
    wrong = {**KAMPALA, "timezone": "UTC"}
    history = after(
        seen(utc(2024, 1, 5), **wrong),
        seen(utc(2024, 2, 5), **KAMPALA),
        seen(utc(2024, 3, 10), **LAGOS),
    )
    found = former_zones(history, {"s1": "Africa/Lagos"}, (date(2024, 1, 6), date(2024, 1, 6)))
    assert found["timezone"].to_list() == ["Africa/Kampala"]


def test_there_and_back() -> None:
    history = after(
        seen(utc(2024, 1, 5), **KAMPALA),
        seen(utc(2024, 3, 10), **LAGOS),
        seen(utc(2024, 3, 12), **KAMPALA),
    )
    found = former_zones(history, {"s1": "Africa/Kampala"}, (date(2024, 3, 9), date(2024, 3, 13)))
    assert found["date"].to_list() == [date(2024, 3, 10), date(2024, 3, 11)]


def test_one_that_is_no_longer_listed_keeps_its_history() -> None:
    both = after(seen(utc(2024, 2, 1), "s1", "s2"))
    assert after(seen(utc(2024, 2, 1), "s1", "s2"), seen(utc(2024, 3, 1), "s2")).equals(both)


def test_one_that_was_never_described_has_none() -> None:
    assert after(station_frame("s1", first_seen=None, last_seen=None)).is_empty()


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([1.0, 1.001, 40.0, None])),
        min_size=1,
        max_size=6,
    )
)
def test_periods_follow_each_other_and_the_last_is_what_is_said_now(
    said: list[tuple[str, float | None]],
) -> None:
    stations = [
        seen(utc(2024, 1, n + 1), name=name, latitude=latitude)
        for n, (name, latitude) in enumerate(said)
    ]
    history = after(*stations)
    assert station_history(history, stations[-1]).equals(history)
    assert history["valid_to"].to_list() == [*history["valid_from"].to_list()[1:], None]
    last = history.row(-1, named=True)
    assert (last["name"], last["latitude"]) == said[-1]
    changes = sum(one != other for one, other in zip(said[1:], said, strict=False))
    assert len(history) == 1 + changes
