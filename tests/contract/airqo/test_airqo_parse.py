"""AirQo's bodies, real, documented and made up, as readings worked out by hand."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.network_client import Parsed
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.networks.airqo import AirQoClient
from aq_resources.networks.airqo.bodies import DOWNLOAD, FIELDS, MEASUREMENTS, position
from aq_resources.networks.airqo.bodies import error_kind as kind_of
from aq_resources.networks.airqo.members import describe
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.readings import hourly_readings
from aq_science.stations import station_rows
from aq_science.tables.stations import STATIONS
from aq_science.versions import VERSION_SCHEMA, fold_versions
from aq_science.windows import Window

BASE = "https://airqo.example"
DAY = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
LATER = datetime(2026, 3, 1, tzinfo=UTC)
YAOUNDE_HOUR = datetime(2026, 2, 18, 19, tzinfo=UTC)
FETCHES = (
    ("analytics_fetch1.json", datetime(2026, 2, 24, 10, tzinfo=UTC)),
    ("analytics_fetch2.json", datetime(2026, 3, 6, 15, tzinfo=UTC)),
)


@pytest.fixture(scope="module")
def client() -> AirQoClient:
    config = NetworkConfig(name="airqo", start_date=date(2020, 1, 1), stations=("aq_1",))
    made = create_client(config, Settings(), lambda: LATER)
    assert isinstance(made, AirQoClient)
    return made


def answer(
    body: object,
    *,
    window: Window = DAY,
    path: str = f"{MEASUREMENTS}/cohorts/c1",
    pulled_at: datetime = LATER,
    status: int = 200,
) -> RawAnswer:
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    return RawAnswer(BASE + path, {}, (window.start, window.end), pulled_at, status, text)


def measurement(stamp: str = "2025-06-10T05:00:00.000Z", **more: Any) -> dict[str, Any]:
    return {"device": "aq_1", "time": stamp, "frequency": "hourly", "site_id": "s1", **more}


def row(stamp: str = "2025-06-10 05:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "device_name": "aq_1",
        "datetime": stamp,
        "frequency": "hourly",
        "site_name": "somewhere",
        **more,
    }


def v2(*records: object) -> dict[str, Any]:
    return {"success": True, "measurements": list(records)}


def found(parsed: Parsed) -> list[tuple[Any, ...]]:
    columns = ("station_id", "parameter", "hour", "value_native", "duplicate")
    return [
        (station, parameter, f"{hour:%d %H}", value, duplicate)
        for station, parameter, hour, value, duplicate in parsed.versions.sort(
            "station_id", "hour", "parameter"
        )
        .select(columns)
        .iter_rows()
    ]


def problems(parsed: Parsed) -> dict[str, int]:
    return {str(one["problem"]): int(one["records"]) for one in parsed.problems.rows()}


# -------------------------------------------------------------------------------- real bodies


def fetched(real_data: Path, client: AirQoClient) -> list[pl.DataFrame]:
    window = Window.of_days(date(2026, 2, 1), date(2026, 2, 28))
    versions = []
    for name, pulled_at in FETCHES:
        text = (real_data / "airqo" / name).read_text("utf-8")
        path = "/api/v2/devices/cohorts/both"
        parsed = client.parse([answer(text, window=window, path=path, pulled_at=pulled_at)])
        assert parsed.problems.total == 0
        assert parsed.unreadable == ()
        versions.append(parsed.versions)
    return versions


def members(real_data: Path, cohort: str) -> set[str]:
    body = json.loads((real_data / "airqo" / "analytics_fetch1.json").read_text("utf-8"))
    [one] = [c for c in body["cohorts"] if c["name"] == cohort]
    return {device["name"] for device in one["devices"]}


def test_the_mean_of_a_cohort_counts_no_reading_twice(real_data: Path, client: AirQoClient) -> None:
    """AirQo's own mean of that hour, 39.34, counts three of its four devices twice."""
    devices = members(real_data, "hw_yaounde")
    for versions in fetched(real_data, client):
        hour = versions.filter(
            (pl.col("hour") == YAOUNDE_HOUR)
            & (pl.col("parameter") == "pm25")
            & pl.col("station_id").cast(pl.String).is_in(devices)
        )
        values = dict(hour.select(pl.col("station_id").cast(pl.String), "value_native").iter_rows())
        assert len(hour) == 4
        assert values == {
            "airqo-g5172": 12.36,
            "airqo-g5188": 61.49,
            "airqo_g5220": 30.13,
            "airqo_g5344": 67.39,
        }
        assert fmean(values.values()) == pytest.approx(42.8425, abs=1e-9)
        assert not versions["duplicate"].any()


def test_what_was_revised_between_two_fetches_is_counted(
    real_data: Path, client: AirQoClient
) -> None:
    first, second = fetched(real_data, client)
    folded = fold_versions(pl.concat([first, second]))
    pm25 = folded.filter(pl.col("parameter") == "pm25")
    assert len(pm25) == 1418
    assert Counter(pm25["revision"]) == {0: 1387, 1: 31}
    # Worked out from the bodies: what each says of a key, and in how many keys that differs.
    said: list[dict[tuple[str, str], float | None]] = []
    for name, _ in FETCHES:
        body = json.loads((real_data / "airqo" / name).read_text("utf-8"))
        rows = [
            r for cohort in body["cohorts"] for device in cohort["devices"] for r in device["data"]
        ]
        assert len(rows) in (1421, 1418)
        said.append({(r["device_name"], r["datetime"]): r["pm2_5"] for r in rows})
    changed = {key: (said[0][key], said[1][key]) for key in said[0] if said[0][key] != said[1][key]}
    assert len(changed) == 31
    assert (23.82, 12.23) in changed.values()
    revised = pm25.filter(pl.col("revision") == 1)
    assert {
        (str(station), f"{hour:%Y-%m-%d %H:%M:%SZ}", value)
        for station, hour, value in revised.select("station_id", "hour", "value_native").iter_rows()
    } == {(*key, after) for key, (_, after) in changed.items()}


def test_hours_whose_two_channels_disagree_are_suspect(
    real_data: Path, client: AirQoClient
) -> None:
    """One device's second channel is off for fifteen hours; counted from the bodies."""
    first, _ = fetched(real_data, client)
    readings = hourly_readings(fold_versions(first), "airqo")
    apart = readings.filter(pl.col("reasons").list.contains("two_channels"))
    assert Counter(apart.select("station_id", "parameter").iter_rows()) == {
        ("airqo_g5225", "pm25"): 15,
        ("airqo_g5225", "pm10"): 8,
    }
    assert set(apart["flag"]) == {"suspect"}


@pytest.mark.parametrize(
    ("one", "other", "fires"),
    [
        (0.0, 40.0, True),
        (40.0, 0.0, True),
        (2.0, 6.9, False),
        (60.0, 90.0, False),
        (None, 9, False),
    ],
    ids=["a dead one", "the other", "little apart", "of much alike", "one alone"],
)
def test_a_channel_that_is_dead(
    client: AirQoClient, one: float | None, other: float | None, *, fires: bool
) -> None:
    row = {
        "device_name": "aq_1",
        "datetime": "2025-06-10 05:00:00Z",
        "pm2_5": 20.0,
        "pm10": 30.0,
        "s1_pm2_5": one,
        "s2_pm2_5": other,
    }
    parsed = client.parse([answer({"status": "success", "data": [row]}, path=DOWNLOAD)])
    readings = hourly_readings(fold_versions(parsed.versions), "airqo")
    assert dict(readings.select("parameter", "reasons").iter_rows()) == {
        "pm25": ["two_channels"] if fires else [],
        "pm10": [],
    }


def test_raw_channels_are_in_no_series_and_zero_weather_is_none(
    real_data: Path, client: AirQoClient
) -> None:
    first, _ = fetched(real_data, client)
    assert set(first["parameter"]) == {"pm25", "pm10", "temperature", "humidity"}
    counts = dict(first.group_by("parameter").len().iter_rows())
    body = json.loads((real_data / "airqo" / FETCHES[0][0]).read_text("utf-8"))
    keys = {
        (r["device_name"], r["datetime"]): r
        for cohort in body["cohorts"]
        for device in cohort["devices"]
        for r in device["data"]
    }
    assert counts == {
        "pm25": 1418,
        "pm10": sum(r["pm10"] is not None for r in keys.values()),
        "temperature": sum(bool(r["temperature"]) for r in keys.values()),
        "humidity": sum(bool(r["humidity"]) for r in keys.values()),
    }
    weather = first.filter(pl.col("parameter").is_in(["temperature", "humidity"]))
    assert (weather["value_native"] != 0.0).all()
    # The raw channels of that hour read 78.24 and 81.12.
    assert 78.24 not in first["value_native"].to_list()


def test_the_real_measurements_of_2024(real_data: Path, client: AirQoClient) -> None:
    text = (real_data / "airqo" / "measurements_v2_2024-08-12.json").read_text("utf-8")
    records = json.loads(text)["measurements"]
    window = Window.of_days(date(2024, 8, 1), date(2024, 8, 31))
    parsed = client.parse([answer(text, window=window)])
    assert parsed.problems.total == 0
    expected = {
        (r["device"], parameter, r["time"], r[key]["value"])
        for r in records
        for key, parameter in (("pm2_5", "pm25"), ("pm10", "pm10"))
        if r[key]["value"] is not None
    }
    assert len(expected) == 350
    assert {
        (str(station), parameter, f"{hour:%Y-%m-%dT%H:%M:%S.000Z}", value)
        for station, parameter, hour, value in parsed.versions.select(
            "station_id", "parameter", "hour", "value_native"
        ).iter_rows()
    } == expected
    assert ("aq_52", "pm25", "2024-08-12T10:00:00.000Z", 13.27140000000002) in expected
    readings = hourly_readings(fold_versions(parsed.versions), "airqo")
    assert set(readings["unit"]) == {"µg/m³"}


def test_positions_at_zero_are_missing(real_data: Path) -> None:
    body = json.loads((real_data / "airqo" / FETCHES[0][0]).read_text("utf-8"))
    rows = [r for cohort in body["cohorts"] for device in cohort["devices"] for r in device["data"]]
    described = [
        {
            "station_id": str(n),
            "seen": True,
            "parameters": (),
            "latitude": at[0],
            "longitude": at[1],
        }
        for n, at in enumerate(map(position, rows))
    ]
    stations, problems = station_rows("airqo", described, {}, STATIONS.schema.to_frame(), LATER)
    unknown = set(problems.filter(pl.col("problem") == "zero")["station_id"])
    assert len(unknown) == 843
    assert all(rows[int(n)]["latitude"] == rows[int(n)]["longitude"] == 0.0 for n in unknown)
    assert (
        not stations.select((pl.col("latitude") == 0) & (pl.col("longitude") == 0))
        .to_series()
        .any()
    )
    assert position({"latitude": 0.0, "longitude": 32.6}) == (0.0, 32.6)
    assert position({"approximate_latitude": 0.2, "approximate_longitude": 32.6}) == (0.2, 32.6)


def test_real_sites_have_a_country_by_its_code_and_a_city(real_data: Path) -> None:
    body = json.loads((real_data / "airqo" / "measurements_v2_2024-08-12.json").read_text("utf-8"))
    sites = {r["site_id"]: r["siteDetails"] for r in body["measurements"] if "siteDetails" in r}
    found = {name: describe("aq_1", {"site_id": name}, sites) for name in sites}
    codes = Counter(station.country for station in found.values())
    assert codes.most_common(4) == [("UG", 83), ("KE", 45), ("NG", 19), ("CM", 14)]
    assert None not in codes
    assert found["60d058c8048305120d2d615a"].city == "Kampala"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("Uganda", "UG"),
        (" kenya", "KE"),
        ("Côte d'Ivoire", "CI"),
        ("Atlantis", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_a_country_is_known_by_its_english_name(given: object, code: object) -> None:
    assert describe("aq_1", {"site_id": "s"}, {"s": {"country": given}}).country == code


# -------------------------------------------------------------------------- documented bodies

ERRORS = {
    "reference__error-codes__0.json": "refused",
    "reference__error-codes__1.json": "token",
    "reference__error-codes__2.json": "refused",
    "reference__error-codes__3.json": "token",
    "reference__error-codes__4.json": "tier",
    "reference__error-codes__5.json": "no_data",
}


@pytest.mark.parametrize(("name", "kind"), ERRORS.items())
def test_the_documented_errors_are_told_apart(
    real_data: Path, client: AirQoClient, name: str, kind: str
) -> None:
    text = (real_data / "airqo" / "documented_bodies" / name).read_text("utf-8")
    assert kind_of(json.loads(text)) == kind
    for status in (200, 400, 401, 403, 404):
        parsed = client.parse([answer(text, status=status)])
        assert parsed.versions.is_empty()
        assert problems(parsed) == {f"status_{status}": 1}


# Body -> station, parameter and value by hand.
READINGS = {
    "analytics-api__calibrated-data__0": [
        ("airqo_bx2847", "pm25", 12.45),
        ("airqo_bx2847", "pm10", 15.32),
        ("airqo_bx2847", "temperature", 24.5),
        ("airqo_bx2847", "humidity", 65.4),
    ],
    "for-cities__recent-measurements__0": [
        ("airqo_bx2847", "pm25", 23.45),
        ("airqo_bx2847", "pm10", 31.82),
    ],
}
READINGS |= {
    "for-partners__historical-data__0": READINGS["analytics-api__calibrated-data__0"],
    "reference__response-structure__1": READINGS["analytics-api__calibrated-data__0"],
    "for-partners__recent-measurements__0": READINGS["for-cities__recent-measurements__0"],
    "getting-started__quick-start__0": READINGS["for-cities__recent-measurements__0"],
    "reference__response-structure__0": READINGS["for-cities__recent-measurements__0"],
}


def test_every_documented_body_gives_its_readings_and_the_others_none(
    real_data: Path, client: AirQoClient
) -> None:
    seen = set()
    for path in sorted((real_data / "airqo" / "documented_bodies").glob("*.json")):
        window = Window.of_days(date(2025, 1, 1), date(2025, 12, 31))
        parsed = client.parse([answer(path.read_text("utf-8"), window=window)])
        readings = parsed.versions.select(
            pl.col("station_id").cast(pl.String),
            pl.col("parameter").cast(pl.String),
            "value_native",
        ).rows()
        assert sorted(readings) == sorted(READINGS.get(path.stem, [])), path.stem
        if readings:
            seen.add(path.stem)
            assert parsed.problems.total == 0
        else:
            assert parsed.problems.total > 0, path.stem
    assert seen == READINGS.keys()


def test_daily_and_raw_rows_never_pass_for_hours(real_data: Path, client: AirQoClient) -> None:
    for name in ("for-cities__historical-data__0", "analytics-api__raw-data__0"):
        text = (real_data / "airqo" / "documented_bodies" / f"{name}.json").read_text("utf-8")
        window = Window.of_days(date(2025, 1, 1), date(2025, 1, 31))
        parsed = client.parse([answer(text, window=window, path=DOWNLOAD)])
        assert problems(parsed) == {"not_hourly": 1}
        assert parsed.versions.is_empty()


# ------------------------------------------------------------------------------------- quirks


def test_stamps_are_the_beginning_of_the_hour(client: AirQoClient) -> None:
    both = [
        answer(v2(measurement("2025-06-10T05:00:00.000Z", pm2_5={"value": 7.0}))),
        answer({"data": [row("2025-06-10 06:00:00Z", pm2_5=8.0)]}, path=DOWNLOAD),
    ]
    assert found(client.parse(both)) == [
        ("aq_1", "pm25", "10 05", 7.0, False),
        ("aq_1", "pm25", "10 06", 8.0, False),
    ]


def test_hours_of_a_zone_of_half_hours_begin_at_the_same_minute(client: AirQoClient) -> None:
    there = [measurement(f"2025-06-10T0{n}:30:00Z", pm2_5={"value": n}) for n in (5, 6)]
    here = measurement("2025-06-10T05:00:00Z", pm2_5={"value": 3.0}) | {"device": "aq_2"}
    parsed = client.parse([answer(v2(*there, here))])
    rows = parsed.versions.sort("station_id", "hour").select("station_id", "hour", "value_native")
    assert [(one, f"{hour:%H:%M}", value) for one, hour, value in rows.iter_rows()] == [
        ("aq_1", "05:30", 5.0),
        ("aq_1", "06:30", 6.0),
        ("aq_2", "05:00", 3.0),
    ]
    assert problems(parsed) == {}


def test_twins_that_agree_are_one_record(client: AirQoClient) -> None:
    twin = row(pm2_5=12.36, pm10=2.17, site_name=None)
    parsed = client.parse([answer({"data": [row(pm2_5=12.36, pm10=2.17), twin]})])
    assert found(parsed) == [
        ("aq_1", "pm25", "10 05", 12.36, False),
        ("aq_1", "pm10", "10 05", 2.17, False),
    ]
    assert parsed.problems.total == 0


@pytest.mark.parametrize("order", [1, -1])
def test_of_twins_that_differ_the_placed_one_stands_and_says_so(
    client: AirQoClient, order: int
) -> None:
    twins = [row(pm2_5=12.0), row(pm2_5=99.0, site_name=None)][::order]
    parsed = client.parse([answer({"data": twins})])
    assert found(parsed) == [("aq_1", "pm25", "10 05", 12.0, True)]
    assert problems(parsed) == {"duplicate_hour": 1}


def test_a_null_twin_takes_nothing_away(client: AirQoClient) -> None:
    twins = [row(pm2_5=12.0, pm10=3.0), row(pm2_5=None, pm10=3.0, site_name=None)]
    for records in (twins, twins[::-1]):
        parsed = client.parse([answer({"data": records})])
        assert found(parsed) == [
            ("aq_1", "pm25", "10 05", 12.0, False),
            ("aq_1", "pm10", "10 05", 3.0, False),
        ]


@pytest.mark.parametrize(
    ("given", "reading"),
    [
        ({"value": 40.0, "calibratedValue": 10.0}, 10.0),
        ({"value": 40.0, "calibratedValue": None}, None),
        ({"value": 40.0}, 40.0),
        ({"value": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_raw_value_never_stands_in_for_a_calibrated_one(
    client: AirQoClient, given: object, reading: float | None
) -> None:
    parsed = client.parse([answer(v2(measurement(pm2_5=given, s1_pm2_5=40.0, no2={})))])
    assert [one[3] for one in found(parsed)] == ([] if reading is None else [reading])
    assert parsed.problems.total == 0


def test_raw_channels_alone_are_no_reading(client: AirQoClient) -> None:
    parsed = client.parse([answer({"data": [row(pm2_5=None, s1_pm2_5=40.0, s2_pm2_5=41.0)]})])
    assert found(parsed) == []


def test_the_hour_in_progress_and_hours_outside_the_window_are_left_out(
    client: AirQoClient,
) -> None:
    stamps = ("09T23", "10T00", "10T23", "11T00")
    records = [measurement(f"2025-06-{s}:00:00.000Z", pm2_5={"value": 1.0}) for s in stamps]
    early = DAY.start + timedelta(hours=23, minutes=59)
    assert [one[2] for one in found(client.parse([answer(v2(*records))]))] == ["10 00", "10 23"]
    assert [one[2] for one in found(client.parse([answer(v2(*records), pulled_at=early)]))] == [
        "10 00"
    ]


def test_hours_that_had_not_begun_are_counted(client: AirQoClient) -> None:
    stamps = ("10T00", "10T12", "10T13")
    records = [measurement(f"2025-06-{s}:00:00.000Z", pm2_5={"value": 1.0}) for s in stamps]
    early = DAY.start + timedelta(hours=1, minutes=59)
    parsed = client.parse([answer(v2(*records), pulled_at=early)])
    assert [one[2] for one in found(parsed)] == ["10 00"]
    assert problems(parsed) == {"future_stamp": 2}
    assert parsed.unreadable == ()
    alone = client.parse([answer(v2(*records[1:]), pulled_at=early)])
    assert problems(alone) == {"future_stamp": 2}
    assert alone.unreadable == ()


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (measurement("2025-06-10T05:00:00+03:00", pm2_5={"value": 1.0}), "timestamp_format"),
        (measurement("2025-06-10 05:00", pm2_5={"value": 1.0}), "timestamp_format"),
        (measurement("2025-06-10T05:07:00.000Z", pm2_5={"value": 1.0}), "not_a_whole_hour"),
        (measurement(pm2_5={"value": "7"}), "not_a_number"),
        ({"time": "2025-06-10T05:00:00.000Z"}, "no_device"),
        ({"device": "aq_1"}, "no_timestamp"),
        ("text", "no_object"),
    ],
)
def test_a_bad_record_is_counted_and_the_next_one_read(
    client: AirQoClient, record: object, problem: str
) -> None:
    good = measurement("2025-06-10T07:00:00.000Z", pm2_5={"value": 3.0})
    parsed = client.parse([answer(v2(record, good))])
    assert problems(parsed) == {problem: 1}
    assert [one[3] for one in found(parsed)] == [3.0]
    assert parsed.unreadable == ()


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "",
        "[]",
        '{"success": true}',
        v2(measurement("yesterday", pm2_5={"value": 1.0})),
        {"data": [row("10/06/2025 05:00", pm2_5=1.0)]},
    ],
)
def test_an_answer_of_another_form_is_unreadable(client: AirQoClient, body: object) -> None:
    parsed = client.parse([answer(body)])
    assert parsed.unreadable == ("cohorts/c1",)
    assert parsed.problems.total == 1


def test_no_data_is_no_problem(client: AirQoClient) -> None:
    body = {"status": "error", "message": "No data found", "code": "NOT_FOUND"}
    parsed = client.parse(
        [answer(body, path=DOWNLOAD, status=404), answer(v2()), answer({"data": []})]
    )
    assert (parsed.problems.total, parsed.unreadable) == (0, ())
    assert parsed.versions.schema == VERSION_SCHEMA


_KEYS = (
    *("measurements", "data", "cohorts", "devices", "device", "device_name", "time", "datetime"),
    *("frequency", "value", "success", "status", "errors", "code"),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*_KEYS, *FIELDS]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(
    _json, st.sampled_from([DOWNLOAD, f"{MEASUREMENTS}/cohorts/c1"]), st.sampled_from([200, 404])
)
def test_any_json_is_parsed_or_counted(body: object, path: str, status: int) -> None:
    config = NetworkConfig(name="airqo", start_date=date(2020, 1, 1), stations=("aq_1",))
    client = create_client(config, Settings(), lambda: LATER)
    try:
        text = json.dumps(body).replace("NaN", "null").replace("Infinity", "1e999")
        parsed = client.parse([answer(text, path=path, status=status)])
    finally:
        client.close()
    assert parsed.versions.schema == VERSION_SCHEMA
    assert all(math.isfinite(value) for value in parsed.versions["value_native"])


class TestPlaces:
    def site(self, name: str, **more: Any) -> dict[str, Any]:
        return {"siteDetails": {"name": name, **more}}

    def test_both_interfaces_say_where_a_record_was_measured(self, client: AirQoClient) -> None:
        kampala = self.site(
            "Kampala", country="Uganda", approximate_latitude=0.35, approximate_longitude=32.58
        )
        nairobi = {"site_name": "Nairobi", "latitude": -1.29, "longitude": 36.82}
        found = client.places(
            [
                answer(v2(measurement(**kampala))),
                answer({"data": [row("2025-06-10 06:00:00Z", **nairobi)]}, path=DOWNLOAD),
            ]
        )
        columns = ("station_id", "name", "latitude", "longitude", "country")
        assert found.sort("hour").select(columns).rows() == [
            ("aq_1", "Kampala", 0.35, 32.58, "UG"),
            ("aq_1", "Nairobi", -1.29, 36.82, None),
        ]

    def test_zero_zero_is_no_position(self, client: AirQoClient) -> None:
        record = row(site_name="Nairobi", latitude=0.0, longitude=0.0)
        [found] = client.places([answer({"data": [record]}, path=DOWNLOAD)]).to_dicts()
        assert (found["name"], found["latitude"], found["longitude"]) == ("Nairobi", None, None)

    @pytest.mark.parametrize("body", ["<html>", "[]", {"measurements": [5, {}]}, {"data": None}])
    def test_what_cannot_be_read_says_nothing(self, client: AirQoClient, body: object) -> None:
        assert client.places([answer(body)]).is_empty()
