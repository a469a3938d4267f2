"""Which of several sensors counts for an hour, as a pure function."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_science.sensor_choice import (
    Preference,
    Sensor,
    by_number,
    canonical_unit_then_newest,
    newest,
    select_sensor,
)
from aq_science.versions import KEY, VERSION_SCHEMA
from aq_science.windows import HOUR
from tests.factories import utc
from tests.laws import examples

START = utc(2025, 6, 10)
PULLED = utc(2025, 6, 11)
NOW_AND_THEN = timedelta(minutes=30)

# Sensor, hours since START, value, hours since PULLED.
Row = tuple[str, int, float, float]


def versions(*rows: Row, unit: str | None = "µg/m³", parameter: str = "pm25") -> pl.DataFrame:
    known = {
        "station_id": "a",
        "parameter": parameter,
        "unit_native": unit,
        "coverage": None,
        "duplicate": False,
    }
    read = [
        {
            **known,
            "sensor_id": sensor,
            "hour": START + hour * HOUR,
            "value_native": value,
            "pulled_at": PULLED + pulled * HOUR,
        }
        for sensor, hour, value, pulled in rows
    ]
    return pl.DataFrame(read, schema=VERSION_SCHEMA, orient="row")


def chosen(selected: pl.DataFrame) -> list[tuple[str, float]]:
    return list(selected.select("sensor_id", "value_native").iter_rows())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["6152", "10744"], "10744", id="by-number-not-by-letter"),
        pytest.param(["B", "7"], "7", id="a-number-before-a-name"),
        pytest.param(["A", "B"], "B", id="names-by-letter"),
        pytest.param(["²", "7"], "7", id="a-digit-that-is-no-number"),
    ],
)
def test_the_newest_sensor_has_the_greatest_number(names: list[str], expected: str) -> None:
    assert max(names, key=by_number) == expected
    assert max((Sensor("pm25", None, name) for name in names), key=newest).sensor_id == expected


@pytest.mark.parametrize(
    ("sensors", "expected"),
    [
        pytest.param([("mg/m³", "1"), ("ppm", "2")], "1", id="canonical-before-newer"),
        pytest.param([("mg/m3", "1"), ("mg/m³", "2")], "2", id="spellings-are-one-unit"),
        pytest.param([("ppm", "1"), ("ppb", "2")], "2", id="none-canonical"),
        pytest.param([(None, "2"), ("mg/m³", "1")], "1", id="an-unknown-unit-is-not-canonical"),
    ],
)
def test_the_canonical_unit_goes_before_the_newest(
    sensors: list[tuple[str | None, str]], expected: str
) -> None:
    found = max((Sensor("co", *one) for one in sensors), key=canonical_unit_then_newest)
    assert found.sensor_id == expected


@pytest.mark.parametrize("preference", [newest, canonical_unit_then_newest])
def test_nothing_is_nothing_and_one_sensor_is_left_alone(preference: Preference) -> None:
    for rows in (versions(), versions(("7", 0, 1.0, 0), ("7", 0, 2.0, 1), ("7", 1, 3.0, 0))):
        assert select_sensor(rows, preference).equals(rows)


def test_hour_by_hour_the_preferred_sensor_that_has_a_value_counts() -> None:
    rows = versions(("6152", 0, 21.0, 0), ("6152", 1, 22.0, 0), ("10744", 0, 11.0, 0))
    assert chosen(select_sensor(rows, newest)) == [("6152", 22.0), ("10744", 11.0)]


def test_a_station_or_parameter_with_one_sensor_is_left_alone_beside_others() -> None:
    other = versions(("5", 0, 0.3, 0), unit="mg/m³", parameter="co")
    rows = pl.concat([versions(("1", 0, 1.0, 0)), other, versions(("2", 0, 2.0, 0))])
    assert chosen(select_sensor(rows, newest)) == [("5", 0.3), ("2", 2.0)]


def test_a_sensor_once_selected_stays_and_none_is_before_it_was_known() -> None:
    rows = versions(
        ("1", 0, 21.0, 0),
        ("1", 0, 21.5, 24),
        ("2", 0, 11.0, 24),
        ("1", 0, 22.0, 48),
        ("2", 0, 12.0, 72),
    )
    assert chosen(select_sensor(rows, newest)) == [("1", 21.0), ("2", 11.0), ("2", 12.0)]


def test_what_was_received_together_was_known_together() -> None:
    rows = versions(("1", 0, 1.0, 0), ("2", 0, 2.0, 0.25), ("1", 0, 3.0, -1))
    assert chosen(select_sensor(rows, newest)) == [("1", 1.0), ("2", 2.0), ("1", 3.0)]
    assert chosen(select_sensor(rows, newest, NOW_AND_THEN)) == [("2", 2.0), ("1", 3.0)]


def test_a_sensor_without_a_unit_is_ranked_as_well() -> None:
    rows = versions(("1", 0, 1.0, 0), ("2", 0, 2.0, 0), unit=None)
    assert chosen(select_sensor(rows, newest)) == [("2", 2.0)]


def test_one_sensor_in_two_units_counts_in_the_canonical_one() -> None:
    both = pl.concat([versions(("1", 0, 1.0, 0), unit="ppm"), versions(("1", 0, 2.0, 0))])
    assert chosen(select_sensor(both, canonical_unit_then_newest)) == [("1", 2.0)]
    assert select_sensor(both, newest).equals(both)


row = st.tuples(
    st.sampled_from(["1", "2", "30", "x"]),
    st.integers(0, 2),
    st.floats(0, 100),
    st.integers(0, 4).map(float),
)


@settings(max_examples=examples(40))
@given(rows=st.lists(row, max_size=20), order=st.randoms(use_true_random=False))
def test_at_every_time_each_hour_has_one_sensor_whatever_the_order(
    rows: list[Row], order: Random
) -> None:
    selected = select_sensor(versions(*rows), newest)
    for pulled in range(5):
        known = selected.filter(pl.col("pulled_at") == PULLED + pulled * HOUR)
        sensors = known.group_by(KEY).agg(pl.col("sensor_id").n_unique())
        assert sensors["sensor_id"].to_list() == [1] * len(sensors)
    # Every hour keeps a value, and the last one is the preferred sensor's of all that had one.
    everything = versions(*rows)
    assert set(selected["hour"]) == set(everything["hour"])
    for hour in set(everything["hour"]):
        having = everything.filter(pl.col("hour") == hour)["sensor_id"].to_list()
        last = selected.filter(pl.col("hour") == hour).sort("pulled_at")["sensor_id"][-1]
        assert last == max(having, key=by_number)
    shuffled = list(rows)
    order.shuffle(shuffled)
    again = select_sensor(versions(*shuffled), newest)
    assert again.sort(pl.all()).equals(selected.sort(pl.all()))
    assert select_sensor(selected, newest).equals(selected)


@settings(max_examples=examples(40))
@given(rows=st.lists(row, max_size=20), known_at=st.integers(0, 4))
def test_what_came_later_changes_nothing_of_what_was_known(rows: list[Row], known_at: int) -> None:
    by_then = pl.col("pulled_at") <= PULLED + known_at * HOUR
    everything = versions(*rows)
    early = select_sensor(everything.filter(by_then), newest)
    assert select_sensor(everything, newest).filter(by_then).equals(early)
