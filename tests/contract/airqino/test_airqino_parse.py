"""What AirQino's answers turn into: bad records are counted, their neighbours kept."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_resources.network_client import NetworkClient, Parsed
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.networks.airqino.bodies import FIELDS
from aq_resources.settings import Settings
from aq_science.readings import hourly_readings
from aq_science.versions import VERSION_SCHEMA, fold_versions
from aq_science.windows import Window
from tests.contract.conftest import NOW, problems, recorded_answer, values
from tests.laws import examples

GOOD = {"timestamp": "2025-06-10 11:00:00", "CO": 0.5, "PM2.5": 12.25}
LATER = {"timestamp": "2025-06-10 13:00:00", "CO": 0.75, "PM2.5": 8.5}
KEPT = {"2025-06-10 11:00:00": 0.5, "2025-06-10 13:00:00": 0.75}


@pytest.fixture(scope="module")
def client() -> NetworkClient:
    config = NetworkConfig(name="airqino", start_date=date(2020, 1, 1), stations=("1",))
    return create_client(config, Settings(), lambda: NOW)


def between(client: NetworkClient, *rows: object) -> Parsed:
    """The rows, parsed between two good ones."""
    return client.parse([recorded_answer({"header": {}, "data": [GOOD, *rows, LATER]})])


def test_a_good_answer_is_read_without_remark(client: NetworkClient) -> None:
    parsed = between(client)
    assert values(parsed, "co") == KEPT
    assert values(parsed, "pm25") == {"2025-06-10 11:00:00": 12.25, "2025-06-10 13:00:00": 8.5}
    assert problems(parsed) == {}
    assert parsed.unreadable == ()


def test_a_number_as_text_is_read_and_counted(client: NetworkClient) -> None:
    row = {"timestamp": "2025-06-10 12:00:00", "CO": "0.625", "PM2.5": " 3e1 "}
    parsed = between(client, row)
    assert values(parsed, "co") == KEPT | {"2025-06-10 12:00:00": 0.625}
    assert values(parsed, "pm25")["2025-06-10 12:00:00"] == 30
    assert problems(parsed) == {"number_as_text": 2}


@pytest.mark.parametrize("bad", ["n/a", "", "1,5", "0.5 mg", True, False, [], {}, [1.0]])
def test_what_is_no_number_is_counted_and_left_out(client: NetworkClient, bad: object) -> None:
    parsed = between(client, {"timestamp": "2025-06-10 12:00:00", "CO": bad, "PM2.5": 4.0})
    assert values(parsed, "co") == KEPT
    assert values(parsed, "pm25")["2025-06-10 12:00:00"] == 4.0
    assert problems(parsed) == {"not_a_number": 1}
    (row,) = parsed.problems.rows()
    assert row["station_id"] == "1"
    assert str(row["example"]).startswith("2025-06-10 12:00:00 CO: ")


@pytest.mark.parametrize("bad", ["1e999", "-1e999", "1" + "0" * 400])
def test_a_number_beyond_all_measure_sinks_only_itself(client: NetworkClient, bad: str) -> None:
    rows = [GOOD, {"timestamp": "2025-06-10 12:00:00", "CO": "@", "PM2.5": 4.0}, LATER]
    body = json.dumps({"header": {}, "data": rows}).replace('"@"', bad)
    parsed = client.parse([recorded_answer(body)])
    assert parsed.problems.total >= 1
    assert set(parsed.versions.filter(pl.col("parameter") == "co")["value_native"]) <= {0.5, 0.75}


@pytest.mark.parametrize("text", ["NaN", "inf", "-Infinity"])
def test_a_value_that_is_not_finite_ends_up_flagged(client: NetworkClient, text: str) -> None:
    parsed = between(client, {"timestamp": "2025-06-10 12:00:00", "CO": text})
    assert problems(parsed) == {"number_as_text": 1}
    frame = hourly_readings(fold_versions(parsed.versions), "airqino")
    odd = frame.filter(pl.col("hour") == datetime(2025, 6, 10, 12, tzinfo=UTC))
    assert odd["flag"].to_list() == ["invalid"]
    assert odd["value"].to_list() == [None]
    assert odd["reasons"].to_list() == [["not_finite"]]


@pytest.mark.parametrize(
    "stamp",
    [
        "2025-06-10T12:00:00",
        "2025-06-10 12:00:00Z",
        "2025-06-10 12:00",
        "10/06/2025 12:00:00",
        "2025-13-10 12:00:00",
        "1749556800",
        "",
    ],
)
def test_another_time_format_is_counted(client: NetworkClient, stamp: str) -> None:
    parsed = between(client, {"timestamp": stamp, "CO": 0.1})
    assert values(parsed, "co") == KEPT
    assert problems(parsed) == {"timestamp_format": 1}
    assert parsed.problems.rows()[0]["example"] == stamp
    assert parsed.unreadable == ()


def test_a_station_whose_every_stamp_changed_is_unreadable(client: NetworkClient) -> None:
    rows = [{"timestamp": f"2025-06-10T{hour:02}:00:00", "CO": 0.5} for hour in range(24)]
    changed = recorded_answer({"header": {}, "data": rows}, station="2")
    parsed = client.parse([changed, recorded_answer({"header": {}, "data": [GOOD]})])
    assert parsed.unreadable == ("2",)
    assert problems(parsed) == {"timestamp_format": 24}
    assert values(parsed, "co") == {"2025-06-10 11:00:00": 0.5}


def test_the_same_row_twice_is_one_row(client: NetworkClient) -> None:
    once, twice = between(client, GOOD), between(client, *[GOOD, {**GOOD}] * 2)
    assert twice.versions.equals(once.versions)
    assert problems(twice) == {}


def test_of_an_hour_given_twice_the_last_value_stands_marked(client: NetworkClient) -> None:
    parsed = between(client, {**GOOD, "CO": 0.9}, {**GOOD, "CO": 0.7})
    assert values(parsed, "co") == KEPT | {"2025-06-10 11:00:00": 0.7}
    assert problems(parsed) == {"duplicate_hour": 2}
    marked = parsed.versions.filter("duplicate")
    assert {f"{hour:%H}" for hour in marked["hour"]} == {"11"}
    assert len(marked) == 2
    frame = hourly_readings(fold_versions(parsed.versions), "airqino")
    flags = frame.filter(pl.col("hour") == datetime(2025, 6, 10, 11, tzinfo=UTC))["flag"]
    assert flags.to_list() == ["suspect"] * 2


def test_hours_of_a_zone_of_half_hours_begin_at_the_same_minute(client: NetworkClient) -> None:
    rows = [{"timestamp": f"2025-06-10 {hour}:30:00", "CO": hour / 16} for hour in (10, 11)]
    parsed = client.parse([recorded_answer({"header": {}, "data": rows})])
    assert values(parsed, "co") == {"2025-06-10 10:30:00": 0.625, "2025-06-10 11:30:00": 0.6875}
    assert problems(parsed) == {}
    assert parsed.unreadable == ()


def test_a_half_hour_is_counted_and_left_out(client: NetworkClient) -> None:
    parsed = between(
        client,
        {"timestamp": "2025-06-10 12:30:00", "CO": 0.1},
        {"timestamp": "2025-06-10 12:00:01", "CO": 0.1},
    )
    assert values(parsed, "co") == KEPT
    assert problems(parsed) == {"not_a_whole_hour": 2}


@pytest.mark.parametrize(
    "record",
    [None, 3, "2025-06-10 12:00:00", [], {}, {"CO": 1.0}, {"timestamp": None}, {"timestamp": 5}],
)
def test_a_record_without_a_time_is_counted(client: NetworkClient, record: object) -> None:
    parsed = between(client, record)
    assert values(parsed, "co") == KEPT
    assert problems(parsed) == {"no_timestamp": 1}


def test_null_is_as_good_as_absent(client: NetworkClient) -> None:
    row = {"timestamp": "2025-06-10 12:00:00", "CO": None, "PM2.5": 4.0, "RH": None}
    parsed = between(client, row)
    assert values(parsed, "co") == KEPT
    assert values(parsed, "pm25")["2025-06-10 12:00:00"] == 4.0
    assert values(parsed, "humidity") == {}
    assert problems(parsed) == {}


def test_null_beside_a_bad_record_is_no_problem(client: NetworkClient) -> None:
    parsed = between(client, {"timestamp": "2025-06-10 12:00:00", "CO": None, "PM2.5": "x"})
    assert problems(parsed) == {"not_a_number": 1}


def test_unknown_keys_are_left_alone(client: NetworkClient) -> None:
    parsed = between(client, {"timestamp": "2025-06-10 12:00:00", "VOC": 3, "T. int.": "400"})
    assert problems(parsed) == {}
    assert {FIELDS[key][0] for key in ("CO", "PM2.5")} == set(parsed.versions["parameter"])


@pytest.mark.parametrize("body", ["{}", "[]", "null", "5", '"data"', '{"data": null}'])
def test_a_body_without_a_list_is_unreadable(client: NetworkClient, body: str) -> None:
    parsed = client.parse([recorded_answer(body)])
    assert parsed.versions.is_empty()
    assert parsed.versions.schema == VERSION_SCHEMA
    assert problems(parsed) == {"no_data_list": 1}
    assert parsed.unreadable == ("1",)


def test_a_window_without_readings_is_no_problem(client: NetworkClient) -> None:
    bodies: list[dict[str, object]] = [
        {"data": []},
        {"header": {}, "data": []},
        {"header": None, "data": []},
    ]
    for body in bodies:
        parsed = client.parse([recorded_answer(body)])
        assert parsed.versions.is_empty()
        assert problems(parsed) == {}
        assert parsed.unreadable == ()
    assert client.parse([]).versions.schema == VERSION_SCHEMA


@pytest.mark.parametrize("body", ["", "<html></html>", '{"data": ['])
def test_a_body_that_is_no_json_is_counted(client: NetworkClient, body: str) -> None:
    parsed = client.parse([recorded_answer(body)])
    assert problems(parsed) == {"not_json": 1}
    assert parsed.unreadable == ("1",)


def test_an_odd_header_does_not_touch_the_rows(client: NetworkClient) -> None:
    headers: list[object] = [None, [], "x", 5]
    for header in headers:
        parsed = client.parse([recorded_answer({"header": header, "data": [GOOD, LATER]})])
        assert values(parsed, "co") == KEPT
        assert problems(parsed) == {}


def test_hours_outside_the_window_are_left_out(client: NetworkClient) -> None:
    edge = [
        {"timestamp": stamp, "CO": 0.1}
        for stamp in ("2025-06-09 23:00:00", "2025-06-10 00:00:00", "2025-06-11 00:00:00")
    ]
    parsed = between(client, *edge)
    assert values(parsed, "co") == KEPT | {"2025-06-10 00:00:00": 0.1}
    assert problems(parsed) == {}


def test_an_hour_counts_once_it_has_ended(client: NetworkClient) -> None:
    for pulled_at, expected in (
        (datetime(2025, 6, 10, 13, 59, 59, 999_999, UTC), {"2025-06-10 11:00:00": 0.5}),
        (datetime(2025, 6, 10, 14, 0, 0, 0, UTC), KEPT),
    ):
        answer = recorded_answer({"data": [GOOD, LATER]}, pulled_at=pulled_at)
        assert values(client.parse([answer]), "co") == expected


def test_one_bad_answer_leaves_the_others_whole(client: NetworkClient) -> None:
    good = {"header": {}, "data": [GOOD, LATER]}
    answers = [
        recorded_answer(good, station="1"),
        recorded_answer("<html>", station="2"),
        recorded_answer(good, station="3"),
        recorded_answer("{}", station="4", status=401),
    ]
    parsed = client.parse(answers)
    assert set(parsed.versions["station_id"]) == {"1", "3"}
    assert len(parsed.versions) == 8
    assert parsed.unreadable == ("2",)
    assert problems(parsed) == {"not_json": 1, "status_401": 1}


# ------------------------------------------------------------------------- whatever may come

HOURS = [datetime(2025, 6, 10) + timedelta(hours=n) for n in range(24)]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
stamps = st.sampled_from(HOURS).map(lambda hour: f"{hour:%Y-%m-%d %H:%M:%S}")
good_rows = st.fixed_dictionaries(
    {"timestamp": stamps},
    optional={key: st.floats(-1e6, 1e6) | st.integers(-1000, 1000) for key in FIELDS},
)
odd_rows = junk | st.fixed_dictionaries(
    {"timestamp": stamps | junk}, optional=dict.fromkeys(FIELDS, junk)
)


@given(st.text() | junk.map(json.dumps))
def test_no_body_breaks_the_parser(client: NetworkClient, body: str) -> None:
    parsed = client.parse([recorded_answer(body)])
    assert parsed.versions.is_empty()
    assert parsed.versions.schema == VERSION_SCHEMA


@settings(max_examples=examples(40))
@given(st.lists(good_rows, max_size=12), st.lists(odd_rows, max_size=6), st.randoms())
def test_odd_records_never_cost_a_good_one(
    client: NetworkClient, good: list[dict[str, Any]], odd: list[Any], order: Any
) -> None:
    rows = [*good, *odd]
    order.shuffle(rows)
    parsed = client.parse([recorded_answer({"header": {}, "data": rows})])
    assert parsed.versions.schema == VERSION_SCHEMA
    assert parsed.versions["value_native"].null_count() == 0
    odd_stamps = [row.get("timestamp") for row in odd if isinstance(row, dict)]
    for row in good:
        same = [other for other in good if other["timestamp"] == row["timestamp"]]
        if len(same) > 1 or row["timestamp"] in odd_stamps:
            continue
        for key, (parameter, _) in FIELDS.items():
            found = values(parsed, parameter).get(row["timestamp"])
            if key in row:
                assert found is not None
                assert math.isclose(found, row[key])
            else:
                assert found is None


@settings(max_examples=examples(40))
@given(st.lists(good_rows, max_size=12, unique_by=lambda row: row["timestamp"]))
def test_the_careful_way_reads_what_the_fast_way_reads(
    client: NetworkClient, rows: list[dict[str, Any]]
) -> None:
    window = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
    fast = client.parse([recorded_answer({"data": rows}, window=window)])
    # One record of a strange form makes the parser go through them one by one.
    careful = client.parse([recorded_answer({"data": [*rows, None]}, window=window)])
    assert fast.problems.total == 0
    assert problems(careful) == {"no_timestamp": 1}
    assert careful.versions.equals(fast.versions)


def test_hours_that_had_not_begun_are_counted(client: NetworkClient) -> None:
    came = datetime(2025, 6, 10, 11, 20, tzinfo=UTC)
    rows = [{**GOOD, "timestamp": f"2025-06-10 {n}:00:00"} for n in (10, 11, 12, 20)]
    for data in (rows, rows[2:]):
        said = recorded_answer({"header": {}, "data": data})
        parsed = client.parse([msgspec.structs.replace(said, pulled_at=came)])
        assert problems(parsed) == {"future_stamp": 2}
        assert parsed.unreadable == ()
        assert set(values(parsed, "co")) <= {"2025-06-10 10:00:00"}


def test_an_hour_in_progress_is_no_reading_however_late_the_answer_stands_in_the_order(
    client: NetworkClient,
) -> None:
    """After a clock that had been ahead, the newer answer is stamped later than it came."""
    came = datetime(2025, 6, 10, 13, 20, tzinfo=UTC)
    said = recorded_answer({"header": {}, "data": [GOOD, LATER]})
    moved = msgspec.structs.replace(said, pulled_at=came + timedelta(days=9), received_at=came)
    parsed = client.parse([moved])
    assert values(parsed, "co") == {"2025-06-10 11:00:00": 0.5}
