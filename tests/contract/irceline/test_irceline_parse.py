"""IRCELINE's parser: real bodies, the choice between series, and records of any form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.network_client import Parsed
from aq_resources.networks.irceline import IrcelineClient
from aq_resources.networks.irceline.bodies import parameter_of
from aq_resources.networks.irceline.series import city_of
from aq_science.readings import hourly_readings
from aq_science.units import to_canonical
from aq_science.versions import VERSION_SCHEMA, fold_versions
from aq_science.windows import DAY, HOUR, Window
from tests.contract.conftest import NOW, problems
from tests.contract.irceline.irceline_bench import answer, make_bench, values

NOV_22 = Window.of_days(date(2023, 11, 22), date(2023, 11, 22))
JUNE_10 = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
PM10, PM25 = "Particulate Matter < 10 µm", "Particulate Matter < 2.5 µm"


@pytest.fixture
def client(clean_environment: None) -> Iterator[IrcelineClient]:
    with closing(make_bench().client) as made:
        yield made


def ms(hour: datetime) -> int:
    return int(hour.timestamp()) * 1000


def points(*given: tuple[int, Any]) -> dict[str, Any]:
    """Values stamped so many hours after the day's beginning."""
    return {
        "values": [
            {"timestamp": ms(JUNE_10.start + hours * HOUR), "value": value}
            for hours, value in given
        ]
    }


# ------------------------------------------------------------------------------- real bodies


def read(real_data: Path, name: str) -> Any:
    return json.loads((real_data / "irceline" / name).read_text("utf-8"))


def described(overview: Any) -> dict[str, tuple[str, str]]:
    return {
        series_id: (told["feature"]["id"], told["phenomenon"]["label"])
        for series_id, told in overview["properties"]["timeseries"].items()
    }


def test_four_real_series_of_25_points_are_24_hours_a_day_and_none_twice(
    real_data: Path, client: IrcelineClient
) -> None:
    body = read(real_data, "multiple_time_series_response_example.json")
    assert [len(entry["values"]) for entry in body.values()] == [25, 25, 25, 0, 25]
    series = described(read(real_data, "single_station_timeseries_overview_response_example.json"))
    parsed = client.parse([answer(body, series, NOV_22)])
    assert parsed.problems.total == 0
    assert parsed.unreadable == ()
    # Benzene (10897) has no parameter here, PM1 (10841) no points.
    by_series = parsed.versions.group_by("parameter", "sensor_id").agg(
        pl.len(), pl.col("hour").n_unique().alias("hours")
    )
    found = {row[:2]: row[2:] for row in by_series.cast({"sensor_id": pl.String}).iter_rows()}
    assert found == {
        ("pm10", "6152"): (24, 24),
        ("bc", "6151"): (24, 24),
        ("pm25", "100008"): (24, 24),
    }
    pm10 = values(parsed, "pm10", "1030")
    # Read off the body: the point stamped 00:00Z is the day before's last hour (17.9); 01:00Z,
    # again 17.9, is this day's first; 24:00Z, 21.9, its last.
    assert list(pm10.values()) == [
        17.9, 17.9, 18.9, 20.4, 19.9, 20.9, 21.4, 23.9, 25.9, 26.9, 31.9, 29.4,
        33.4, 31.9, 26.4, 27.4, 24.9, 25.9, 31.9, 32.9, 29.9, 24.4, 23.4, 21.9,
    ]  # fmt: skip
    assert list(pm10) == [f"2023-11-22 {hour:02d}" for hour in range(24)]
    assert values(parsed, "bc")["2023-11-22 23"] == 1.1
    assert values(parsed, "pm25")["2023-11-22 23"] == 14.1


def test_the_same_real_values_beside_their_descriptions_are_read_the_same(
    real_data: Path, client: IrcelineClient
) -> None:
    single = read(real_data, "single_station_result_example.json")
    body = read(real_data, "multiple_time_series_response_example.json")
    series = described(read(real_data, "single_station_timeseries_overview_response_example.json"))
    first, second = (
        client.parse([answer(given, series, NOV_22)]) for given in (single["timeseries"], body)
    )
    assert first.versions.equals(second.versions)
    assert first.problems.total == 0


def test_a_real_body_of_two_stations_is_read_hour_by_hour(
    real_data: Path, client: IrcelineClient
) -> None:
    stations = read(real_data, "upstream-stations.json")
    series: dict[str, Any] = {}
    for station in stations:
        series |= described(station)
    body = read(real_data, "upstream-timeseries.json")
    asked = {name: series[name] for name in body}
    assert asked["10744"] == ("1720", PM25)
    window = Window(datetime(2019, 4, 23, 22, tzinfo=UTC), datetime(2019, 4, 24, 1, tzinfo=UTC))
    parsed = client.parse([answer(body, asked, window)])
    # Stamps 22:00Z to 01:00Z end the hours that begin at 21:00Z to 00:00Z; the first was not asked.
    assert values(parsed, "pm25", "1720") == {
        "2019-04-23 22": 18.0,
        "2019-04-23 23": 19.0,
        "2019-04-24 00": 18.5,
    }
    assert values(parsed, "no", "1234") == {
        "2019-04-23 22": 0.0,
        "2019-04-23 23": 0.0,
        "2019-04-24 00": 0.0,
    }
    assert parsed.problems.total == 0


def test_every_real_label_is_known_or_known_to_be_left_out(real_data: Path) -> None:
    overview = read(real_data, "single_station_timeseries_overview_response_example.json")
    labels = {label for _, label in described(overview).values()}
    for station in read(real_data, "upstream-stations.json"):
        labels |= {label for _, label in described(station).values()}
    assert {label: parameter_of(label) for label in labels} == {
        PM10: "pm10",
        PM25: "pm25",
        "Particulate Matter < 1 µm": "pm1",
        "Black Carbon": "bc",
        "Benzene": None,
        "Nitrogen dioxide": "no2",
        "Nitrogen monoxide": "no",
    }


def test_real_station_labels_name_their_city(real_data: Path) -> None:
    labels = [
        one["properties"]["label"] for one in read(real_data, "all_stations_response_example.json")
    ]
    cities = {label: city_of(label) for label in labels}
    assert len(labels) == 68
    assert cities["42R803 - Antwerpen (Park Spoor Noord)"] == "Antwerpen"
    assert cities["43N066 - Eupen"] == "Eupen"
    assert cities["47E007 - Sint-Pieters-Leeuw"] == "Sint-Pieters-Leeuw"
    assert [label for label, city in cities.items() if city is None] == [
        "48R515 - Aeroport 1",
        "48R516 - Aeroport 2",
    ]


# ------------------------------------------------------------------------------- made bodies


def test_a_stamp_is_the_end_of_its_hour(client: IrcelineClient) -> None:
    body = {"7": points((0, 1.0), (1, 2.0), (24, 3.0), (25, 4.0))}
    parsed = client.parse([answer(body, {"7": ("1030", "Ozone")}, JUNE_10)])
    assert values(parsed, "o3") == {"2025-06-10 00": 2.0, "2025-06-10 23": 3.0}


def test_missing_values_are_null_sentinels_or_text(client: IrcelineClient) -> None:
    body = {
        "7": points((1, None), (2, -99.9), (3, -999), (4, -0.4), (5, -99.8), (6, "NaN"), (7, 0))
    }
    parsed = client.parse([answer(body, {"7": ("1030", "Ozone")}, JUNE_10)])
    assert values(parsed, "o3") == {
        "2025-06-10 03": -0.4,
        "2025-06-10 04": -99.8,
        "2025-06-10 06": 0.0,
    }
    assert parsed.problems.total == 0


def test_the_hour_in_progress_is_no_reading(client: IrcelineClient) -> None:
    window = Window.of_days(NOW.date(), NOW.date())
    hour = NOW.replace(minute=0)
    body = {"7": {"values": [{"timestamp": ms(hour + n * HOUR), "value": n} for n in (0, 1)]}}
    parsed = client.parse([answer(body, {"7": ("1030", "Ozone")}, window)])
    assert parsed.versions["hour"].to_list() == [hour - HOUR]


def test_hours_that_had_not_begun_are_counted(client: IrcelineClient) -> None:
    window = Window.of_days(NOW.date(), NOW.date())
    hour = NOW.replace(minute=0)
    body = {"7": {"values": [{"timestamp": ms(hour + n * HOUR), "value": n} for n in (0, 2, 3)]}}
    parsed = client.parse([answer(body, {"7": ("1030", "Ozone")}, window)])
    assert parsed.versions["hour"].to_list() == [hour - HOUR]
    assert [(row["problem"], row["records"]) for row in parsed.problems.rows()] == [
        ("future_stamp", 2)
    ]


def test_units_are_kept_as_reported_and_convert(client: IrcelineClient) -> None:
    body = {name: points((1, 250.0)) for name in ("1", "2", "3")}
    series = {
        "1": ("a", "Carbon Monoxide", "ug/m3"),
        "2": ("b", "Carbon monoxide", "mg/m³"),
        "3": ("c", "Carbon Monoxide", ""),
    }
    parsed = client.parse([answer(body, series, JUNE_10)])
    readings = hourly_readings(fold_versions(parsed.versions), "irceline")
    found = {row["station_id"]: row for row in readings.to_dicts()}
    assert (found["a"]["value"], found["a"]["unit_native"]) == (0.25, "ug/m3")
    assert (found["b"]["value"], found["b"]["unit_native"]) == (250.0, "mg/m³")
    assert (found["c"]["value"], found["c"]["unit_native"]) == (None, None)
    assert found["c"]["flag"] == "invalid"
    for spelling in ("µg/m³", "ug/m3", "μg/m3"):
        assert to_canonical("no2", spelling) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("label", "parameter"),
    [
        ("Particulate Matter < 10 μm", "pm10"),  # Greek mu
        ("particulate matter  < 2.5 um", "pm25"),
        ("Sulphur dioxide", "so2"),
        ("Carbon Monoxide", "co"),
        ("o-Xylene", None),
        ("Wind direction", None),
        ("", None),
    ],
)
def test_labels_are_told_by_their_words(label: str, parameter: str | None) -> None:
    assert parameter_of(label) == parameter


# ------------------------------------------------------------------- several series a station

TWO = {"6152": ("1030", PM10), "10744": ("1030", PM10)}


def chosen(parsed: Parsed) -> dict[str, tuple[float, str]]:
    rows = fold_versions(parsed.versions).to_dicts()
    return {f"{row['hour']:%H}": (row["value_native"], row["sensor_id"]) for row in rows}


def test_the_newest_series_with_a_value_is_the_stations_reading(client: IrcelineClient) -> None:
    body = {
        "10744": points((1, 11.0), (2, None), (3, -999.0)),
        "6152": points((1, 21.0), (2, 22.0), (3, 23.0), (4, 24.0)),
    }
    parsed = client.parse([answer(body, TWO, JUNE_10)])
    assert chosen(parsed) == {
        "00": (11.0, "10744"),
        "01": (22.0, "6152"),
        "02": (23.0, "6152"),
        "03": (24.0, "6152"),
    }
    assert len(parsed.versions) == 4
    # By number, not by letter ("6152" > "10744"), and whatever the order of the answer.
    turned = client.parse([answer(dict(reversed(body.items())), TWO, JUNE_10)])
    assert chosen(turned) == chosen(parsed)


def test_a_choice_once_made_stays_and_revisions_are_its_own(client: IrcelineClient) -> None:
    late, later, last = (NOW + n * HOUR for n in (1, 2, 3))
    old, new = points((1, 21.0)), points((1, 11.0))
    answers = [
        answer({"10744": points(), "6152": old}, TWO, JUNE_10),
        answer({"10744": new, "6152": points((1, 21.5))}, TWO, JUNE_10, pulled_at=late),
        answer({"10744": points(), "6152": points((1, 22.0))}, TWO, JUNE_10, pulled_at=later),
    ]
    for given_answers in (answers, answers[::-1]):
        parsed = client.parse(given_answers)
        [row] = fold_versions(parsed.versions).to_dicts()
        assert (row["value_native"], row["sensor_id"], row["revision"]) == (11.0, "10744", 1)
        # As it was known before the newer series came.
        [row] = fold_versions(parsed.versions, as_known_at=NOW).to_dicts()
        assert (row["value_native"], row["sensor_id"], row["revision"]) == (21.0, "6152", 0)
    again = answer({"10744": points((1, 12.0)), "6152": old}, TWO, JUNE_10, pulled_at=last)
    [row] = fold_versions(client.parse([*answers, again]).versions).to_dicts()
    assert (row["value_native"], row["sensor_id"], row["revision"]) == (12.0, "10744", 2)


# ------------------------------------------------------------------------------- bad records


def test_one_bad_series_leaves_the_others_and_is_counted(client: IrcelineClient) -> None:
    series = {"1": ("a", "Ozone"), "2": ("b", "Ozone"), "3": ("c", "Ozone"), "4": ("d", "Ozone")}
    body = {
        "1": points((1, 5.0)),
        "2": {"value": []},
        "3": {"values": [{"timestamp": "2025-06-10T01:00:00Z", "value": 1}]},
        "5": points((1, 5.0)),
    }
    parsed = client.parse([answer(body, series, JUNE_10)])
    assert values(parsed, "o3", "a") == {"2025-06-10 00": 5.0}
    assert problems(parsed) == {
        "no_values_list": 1,
        "no_timestamp": 1,
        "series_absent": 1,
        "series_not_asked_for": 1,
    }
    assert parsed.unreadable == ("b", "c", "d")


def test_hours_of_a_zone_of_quarter_hours_begin_at_the_same_minute(
    client: IrcelineClient,
) -> None:
    ends = ms(JUNE_10.start) + 2_700_000
    body = {
        "1": {"values": [{"timestamp": ends + n * 3_600_000, "value": float(n)} for n in (1, 2)]},
        "2": {"values": [{"timestamp": ends + n * 900_000, "value": 1.0} for n in range(1, 9)]},
    }
    parsed = client.parse([answer(body, {"1": ("a", "Ozone"), "2": ("b", "Ozone")}, JUNE_10)])
    begins = parsed.versions.filter(pl.col("station_id") == "a")["hour"].dt.strftime("%H:%M")
    assert begins.to_list() == ["00:45", "01:45"]
    assert values(parsed, "o3", "b") == {"2025-06-10 00": 1.0, "2025-06-10 01": 1.0}
    assert problems(parsed) == {"not_a_whole_hour": 6}


def test_odd_points_are_counted_by_kind(client: IrcelineClient) -> None:
    half = ms(JUNE_10.start) + 1_800_000
    body = {
        "1": {
            "values": [
                *points((1, 1.0), (1, 2.0), (2, "3.5"), (3, "high"), (4, True))["values"],
                {"timestamp": half, "value": 9.0},
                {"timestamp": -5, "value": 9.0},
                {"timestamp": True, "value": 9.0},
                None,
            ]
        }
    }
    parsed = client.parse([answer(body, {"1": ("a", "Ozone")}, JUNE_10)])
    assert values(parsed, "o3") == {"2025-06-10 00": 2.0, "2025-06-10 01": 3.5}
    assert parsed.versions.sort("hour")["duplicate"].to_list() == [True, False]
    assert problems(parsed) == {
        "not_a_number": 2,
        "number_as_text": 1,
        "no_timestamp": 2,
        "timestamp_out_of_range": 1,
        "not_a_whole_hour": 1,
        "duplicate_hour": 1,
    }
    assert parsed.unreadable == ()


def test_the_same_row_twice_is_one_row(client: IrcelineClient) -> None:
    body = {"1": points((1, 1.0), (2, 3.5), (1, 1.0), (2, 3.5))}
    parsed = client.parse([answer(body, {"1": ("a", "Ozone")}, JUNE_10)])
    assert values(parsed, "o3") == {"2025-06-10 00": 1.0, "2025-06-10 01": 3.5}
    assert not parsed.versions["duplicate"].any()
    assert problems(parsed) == {}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", "not_json"),
        ('{"1": {"val', "not_json"),
        ("<html></html>", "not_json"),
        ("[]", "no_series"),
        ("null", "no_series"),
        ("{}", "series_absent"),
    ],
)
def test_a_body_of_another_form_makes_its_stations_unreadable(
    client: IrcelineClient, body: str, kind: str
) -> None:
    parsed = client.parse([answer(body, {"1": ("a", "Ozone"), "2": ("b", PM10)}, JUNE_10)])
    assert parsed.versions.is_empty()
    assert {str(row["problem"]) for row in parsed.problems.rows()} >= {kind}
    assert parsed.unreadable == ("a", "b")


def test_a_refusal_says_nothing_about_the_form(client: IrcelineClient) -> None:
    parsed = client.parse([answer("{}", {"1": ("a", "Ozone")}, JUNE_10, status=404)])
    assert problems(parsed) == {"status_404": 1}
    assert parsed.unreadable == ()


def test_an_answer_without_its_question_is_counted(client: IrcelineClient) -> None:
    bare = answer({"1": points((1, 1.0))}, {}, JUNE_10)
    for series in ("", "[1]", '{"1": 2}'):
        parsed = client.parse(
            [bare.__class__(bare.url, {"series": series}, bare.window, NOW, 200, "")]
        )
        assert problems(parsed) == {"series_not_described": 1}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["1", "2", "values", "timestamp", "value"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
_client = make_bench().client


@given(body=_json)
def test_any_json_is_read_or_counted(body: object) -> None:
    series = {"1": ("a", "Ozone"), "2": ("b", "Ozone")}
    parsed = _client.parse([answer(json.dumps(body), series, JUNE_10)])
    assert parsed.versions.schema == VERSION_SCHEMA


@given(text=st.text(max_size=30))
def test_any_text_is_read_or_counted(text: str) -> None:
    parsed = _client.parse([answer(text, {"1": ("a", "Ozone")}, JUNE_10)])
    assert parsed.versions.is_empty()
    assert parsed.problems.total > 0


@given(
    hours=st.lists(st.integers(-30, 60), max_size=80),
    start=st.integers(0, 30),
    length=st.integers(1, 30),
)
def test_no_hour_comes_twice_and_none_from_outside(
    hours: list[int], start: int, length: int
) -> None:
    begin = JUNE_10.start + start * HOUR
    window = Window(begin, begin + length * HOUR)
    body = {"1": points(*((hour, float(hour)) for hour in hours))}
    parsed = _client.parse([answer(body, {"1": ("a", "Ozone")}, window)])
    found = sorted(parsed.versions["hour"].to_list())
    ends = {JUNE_10.start + hour * HOUR for hour in hours}
    assert found == sorted(end - HOUR for end in ends if window.start < end <= window.end)


def test_a_long_answer_is_read_in_batches(client: IrcelineClient, monkeypatch: Any) -> None:
    monkeypatch.setattr("aq_resources.network_toolkit.rows.BATCH_CHARACTERS", 200)
    answers = [
        answer(
            {"1": points((hour, float(hour)), (hour + 1, float(hour + 1)))},
            {"1": ("a", "Ozone")},
            JUNE_10,
            pulled_at=NOW + hour * timedelta(minutes=1),
        )
        for hour in range(1, 23, 2)
    ]
    parsed = client.parse(answers)
    assert list(values(parsed, "o3").values()) == [float(hour) for hour in range(1, 23)]
    assert JUNE_10.end - JUNE_10.start == DAY
