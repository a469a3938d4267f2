"""Stations around each other: who is near whom, events that several see, and who is out of step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.quality.neighbours import neighbours_within
from aq_science.quality.suite import NEIGHBOURHOOD_KM
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from tests.factories import DAY, HOUR, MIDNIGHT, versions

# A degree of latitude is 111 km: a, b, c and d are within two kilometres, far is none's neighbour.
PLACES = {"a": 43.770, "b": 43.775, "c": 43.780, "d": 43.785, "far": 45.0}
NEAR = neighbours_within(
    pl.DataFrame(
        {"station_id": list(PLACES), "latitude": list(PLACES.values()), "longitude": 11.25}
    ),
    NEIGHBOURHOOD_KM,
)
QUIET = [20.0 + 3 * math.sin(n / 3) for n in range(24)]


def flagged(
    series: Mapping[str, Sequence[float | None]], parameter: str = "pm25", unit: str = "µg/m³"
) -> pl.DataFrame:
    rows = [
        {
            "station_id": station,
            "parameter": parameter,
            "unit_native": unit,
            "hour": MIDNIGHT + n * HOUR,
            "value_native": value,
            "pulled_at": MIDNIGHT + 2 * DAY,
        }
        for station, values in series.items()
        for n, value in enumerate(values)
        if value is not None
    ]
    return hourly_readings(fold_versions(versions(*rows)), "airqino", neighbours=NEAR)


def found(readings: pl.DataFrame) -> dict[tuple[str, int], list[str]]:
    """Reasons of what is not valid, by station and hour of the day."""
    bad = readings.filter(pl.col("flag") != "valid")
    return {
        (row["station_id"], row["hour"].hour): row["reasons"] for row in bad.iter_rows(named=True)
    }


def at(hour: int, value: float, values: Sequence[float] = QUIET) -> list[float]:
    return [value if n == hour else other for n, other in enumerate(values)]


def scaled(times: float) -> list[float]:
    return [times * value for value in QUIET]


class TestWhoIsNear:
    @given(
        st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=2, max_size=12),
        st.floats(0.1, 3000),
    )
    def test_as_the_haversine_has_it(
        self, places: list[tuple[float, float]], kilometres: float
    ) -> None:
        def apart(one: tuple[float, float], other: tuple[float, float]) -> float:
            (y1, x1), (y2, x2) = (tuple(map(math.radians, place)) for place in (one, other))
            half = (
                math.sin((y2 - y1) / 2) ** 2
                + math.cos(y1) * math.cos(y2) * math.sin((x2 - x1) / 2) ** 2
            )
            return 2 * 6371.0 * math.asin(min(1.0, math.sqrt(half)))

        names = [f"s{n}" for n in range(len(places))]
        stations = pl.DataFrame(
            {
                "station_id": names,
                "latitude": [place[0] for place in places],
                "longitude": [place[1] for place in places],
            }
        )
        pairs = set(neighbours_within(stations, kilometres).rows())
        for name, place in zip(names, places, strict=True):
            for other, there in zip(names, places, strict=True):
                distance = apart(place, there)
                # On the very edge the two ways to calculate it may differ in the last digit.
                if name != other and not math.isclose(distance, kilometres, rel_tol=1e-4):
                    assert ((name, other) in pairs) == (distance < kilometres)

    def test_without_a_position_or_at_the_same_place(self) -> None:
        stations = pl.DataFrame(
            {
                "station_id": ["a", "b", "lost"],
                "latitude": [1.0, 1.0, None],
                "longitude": [2.0, 2.0, 3.0],
            }
        )
        assert set(neighbours_within(stations, 1).rows()) == {("a", "b"), ("b", "a")}


class TestEvents:
    def test_a_high_hour_alone_is_a_fault(self) -> None:
        assert found(flagged({"a": at(5, 640.0), "b": QUIET})) == {
            ("a", 5): ["gross_range", "spike"]
        }

    def test_that_a_neighbour_shares_is_an_event(self) -> None:
        assert found(flagged({"a": at(5, 640.0), "b": at(5, 410.0)})) == {}

    @pytest.mark.parametrize(
        ("station", "hour", "value"),
        [("far", 5, 600.0), ("b", 6, 600.0), ("b", 5, 200.0)],
        ids=["too far", "another hour", "too little"],
    )
    def test_what_is_no_sign_of_an_event(self, station: str, hour: int, value: float) -> None:
        readings = flagged({"a": at(5, 640.0), station: at(hour, value)})
        assert found(readings)["a", 5] == ["gross_range", "spike"]

    def test_the_very_same_value_at_both_is_a_code(self) -> None:
        readings = flagged({"a": at(5, 640.0), "b": at(5, 640.0)})
        assert set(found(readings)) == {("a", 5), ("b", 5)}

    def test_what_no_air_can_have_is_none_at_any_number_of_stations(self) -> None:
        readings = flagged({"a": at(5, 1640.0), "b": at(5, 1410.0)})
        assert set(found(readings)) == {("a", 5), ("b", 5)}


class TestOutOfStep:
    @pytest.mark.parametrize("times", [12.0, 0.02])
    def test_against_three_that_agree(self, times: float) -> None:
        dirty = scaled(2)
        series = {"a": [times * value for value in dirty], "b": dirty, "c": dirty, "d": dirty}
        readings = flagged(series)
        assert set(found(readings)) == {("a", n) for n in range(24)}
        assert {name for names in found(readings).values() for name in names} == {"out_of_step"}

    @pytest.mark.parametrize(
        "others",
        [{"b": 1.0, "c": 1.0}, {"b": 1.0, "c": 1.0, "far": 1.0}, {"b": 1.0, "c": 1.0, "d": 3.0}],
        ids=["two are too few", "one is too far", "one of them goes along"],
    )
    def test_not_against(self, others: Mapping[str, float]) -> None:
        series = {"a": scaled(8), **{name: scaled(times) for name, times in others.items()}}
        assert found(flagged(series)) == {}

    def test_a_code_among_good_hours_leaves_the_day_in_step(self) -> None:
        coded = [9999.0 if n % 5 == 0 else value for n, value in enumerate(QUIET)]
        readings = flagged({"a": coded, "b": QUIET, "c": QUIET, "d": QUIET})
        named = {reason for names in found(readings).values() for reason in names}
        assert named == {"gross_range", "sentinel"}

    def test_clean_air_is_in_step_with_clean_air(self) -> None:
        series = {"a": scaled(0.4), "b": scaled(0.05), "c": scaled(0.05), "d": scaled(0.05)}
        assert found(flagged(series)) == {}
