"""Odd values anywhere in an answer: they cost at most that answer, in every network.

Hypothesis puts what no column holds in place of any part of a sound body, beside a sound answer of
another station. Whatever it is: nothing is raised, and the other station's readings stay the same.
"""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_resources.failures import TransientFailure
from aq_resources.network_client import SET_ASIDE, NetworkClient, Parsed, Pull
from aq_resources.network_settings import NetworkConfig
from aq_resources.network_toolkit.pulls import kept_pull
from aq_resources.network_toolkit.rows import parse_in_batches
from aq_resources.networks import create_client
from aq_resources.networks.airqino import bodies as airqino_bodies
from aq_resources.networks.airqino.bodies import station_of
from aq_resources.networks.airqino.parse import AirQinoRows
from aq_resources.networks.airqo import bodies as airqo_bodies
from aq_resources.networks.irceline.bodies import lost_stations
from aq_resources.networks.openaq import bodies as openaq_bodies
from aq_resources.networks.openaq.location_list import _legible
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import HOUR, Window
from tests.factories import utc
from tests.laws import examples

DAY = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
LATER = utc(2025, 6, 12)
HOURS = [DAY.start + n * HOUR for n in range(4)]
# As they stand in the body: most are what `json.dumps` would not write.
TOKENS = [
    *("NaN", "-Infinity", "1e400", "null", "true", "{}", "[]", "0", "-1", "1.5", '""'),
    *(str(2**63), str(-(2**63) - 1), "1" + "0" * 399, "1" + "0" * 5000),
    *('"\\ud800"', '"\\udfff\\u0000"', '"NaN"', '"Infinity"', '"' + "9" * 400 + '"'),
    *("[" * 900 + "]" * 900, '{"a":' * 3000 + "1" + "}" * 3000),
    *('"0001-01-01T00:00:00Z"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:00:00-14:00"'),
    *('"0001-01-01 00:00:00"', '"3940-01-01 00:00:00"', '"262143-12-31 23:00:00"'),
    *('"2025-06-10 00:59:60"', '"2025-06-10T00:59:60Z"', '"2025-06-09T23:59:60.000Z"'),
    *("-62135596800000", "4102444800001", "9223372036854775807"),
]


@dataclass(frozen=True)
class Case:
    """A network's form of an answer: one about a station to be spoilt, and one beside it."""

    network: str
    body: dict[str, Any]
    answer: Callable[[str], RawAnswer]
    others: tuple[RawAnswer, ...]
    # The station beside it.
    sound: str = "2"


def kept(url: str, body: object, **params: str) -> RawAnswer:
    text = body if isinstance(body, str) else json.dumps(body)
    return RawAnswer(f"https://x.invalid{url}", params, (DAY.start, DAY.end), LATER, 200, text)


def airqino() -> Case:
    rows = [{"timestamp": f"{h:%Y-%m-%d %H:%M:%S}", "CO": 0.5, "PM2.5": 7.0} for h in HOURS]
    body = {"header": {"station_name": "SMART1", "station_lat": 5.3}, "data": rows}
    path = "/v3/getStationHourlyAvg/"
    return Case("airqino", body, lambda text: kept(f"{path}1", text), (kept(f"{path}2", body),))


def airqo() -> Case:
    def page(device: str) -> dict[str, Any]:
        records = [
            {
                "device": device,
                "time": f"{h:%Y-%m-%dT%H:%M:%S}.000Z",
                "frequency": "hourly",
                "site_id": "s",
                "pm2_5": {"value": 8.0, "calibratedValue": 7.0},
                "pm10": 9.0,
            }
            for h in HOURS
        ]
        return {"success": True, "meta": {"total": 4}, "measurements": records}

    path = "/api/v2/devices/measurements/devices/"
    return Case(
        "airqo", page("1"), lambda text: kept(f"{path}1", text), (kept(f"{path}2", page("2")),)
    )


def irceline() -> Case:
    points = [{"timestamp": int((h + HOUR).timestamp()) * 1000, "value": 7.0} for h in HOURS]

    def asked(series: str, text: object) -> RawAnswer:
        meaning = {"station": series, "phenomenon": "Ozone", "uom": "µg/m³"}
        described = json.dumps({series: meaning})
        return kept("/timeseries/getData", text, series=described, timeseries=series)

    return Case(
        "irceline",
        {"1": {"values": points}},
        lambda text: asked("1", text),
        (asked("2", {"2": {"values": points}}),),
    )


def zulu(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def locations() -> RawAnswer:
    def listed(number: int) -> dict[str, Any]:
        parameter = {"id": 2, "name": "pm25", "units": "µg/m³"}
        return {"id": number, "name": "x", "sensors": [{"id": number * 10, "parameter": parameter}]}

    return kept("/v3/locations", {"results": [listed(1), listed(2)]})


def openaq_hours() -> Case:
    rows = [
        {
            "value": 7.0,
            "parameter": {"id": 2, "name": "pm25", "units": "µg/m³"},
            "period": {
                "datetimeFrom": {"utc": zulu(h)},
                "datetimeTo": {"utc": zulu(h + HOUR)},
            },
            "coverage": {"percentCoverage": 100.0},
        }
        for h in HOURS
    ]
    return Case(
        "openaq",
        {"meta": {}, "results": rows},
        lambda text: kept("/v3/sensors/10/hours", text),
        (locations(), kept("/v3/sensors/20/hours", {"results": rows})),
    )


def openaq_latest() -> Case:
    def page(number: int) -> dict[str, Any]:
        row = {
            "datetime": {"utc": zulu(DAY.start + HOUR)},
            "value": 7.0,
            "sensorsId": number * 10,
            "locationsId": number,
        }
        return {"results": [row]}

    return Case(
        "openaq",
        page(1),
        lambda text: kept("/v3/locations/1/latest", text),
        (locations(), kept("/v3/locations/2/latest", page(2))),
    )


def openaq_locations() -> Case:
    body = json.loads(locations().body)
    beside = openaq_hours().others
    return Case("openaq", body, lambda text: kept("/v3/locations/1", text), beside)


CASES = {
    make.__name__: make()
    for make in (airqino, airqo, irceline, openaq_hours, openaq_latest, openaq_locations)
}


@functools.cache
def client_of(network: str) -> NetworkClient:
    config = NetworkConfig(name=network, start_date=date(2020, 1, 1), stations=("1", "2"))
    return create_client(config, Settings(), lambda: LATER)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a body: every value, and the whole."""
    yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*path, key))


def spoilt(body: dict[str, Any], path: tuple[Any, ...], token: str, *, twice: bool) -> str:
    """The body with the token in place of what stands there, or as the same key once more."""
    if not path:
        return token
    changed = copy.deepcopy(body)
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    if twice and isinstance(inner, dict):
        inner["@key"] = "@value"
        text = json.dumps(changed).replace("@key", str(path[-1]))
    else:
        inner[path[-1]] = "@value"
        text = json.dumps(changed)
    return text.replace('"@value"', token)


def of_station(parsed: Parsed, station: str) -> pl.DataFrame:
    text = [pl.col(name).cast(pl.String) for name in ("station_id", "unit_native", "sensor_id")]
    rows = parsed.versions.with_columns(text).filter(pl.col("station_id") == station)
    return rows.sort("parameter", "hour")


@pytest.mark.parametrize("form", CASES)
def test_an_odd_value_costs_its_own_answer_at_most(form: str) -> None:
    case = CASES[form]
    client = client_of(case.network)
    expected = of_station(client.parse(case.others), case.sound)
    assert len(expected) >= 1

    @settings(max_examples=examples(60))
    @given(
        path=st.sampled_from(list(places(case.body))),
        token=st.sampled_from(TOKENS),
        twice=st.booleans(),
        mark=st.booleans(),
    )
    def law(path: tuple[Any, ...], token: str, twice: bool, mark: bool) -> None:
        text = ("\ufeff" if mark else "") + spoilt(case.body, path, token, twice=twice)
        odd = case.answer(text)
        # First: what overflows would spill into the answer behind it.
        parsed = client.parse([odd, *case.others])
        assert_frame_equal(of_station(parsed, case.sound), expected)
        for row in parsed.problems.rows():
            str(row["example"]).encode()

    law()


@pytest.mark.parametrize("form", ["airqino", "airqo", "irceline", "openaq_hours"])
@pytest.mark.parametrize("odd", ["NaN", "1e400", "1" + "0" * 5000])
def test_a_value_that_is_no_number_costs_that_value_alone(form: str, odd: str) -> None:
    case = CASES[form]
    whole = of_station(
        client_of(case.network).parse([case.answer(json.dumps(case.body)), *case.others]), "1"
    )
    text = json.dumps(case.body).replace("7.0", odd, 1)
    parsed = client_of(case.network).parse([case.answer(text), *case.others])
    assert len(of_station(parsed, "1")) == len(whole) - 1
    assert [row["problem"] for row in parsed.problems.rows()] == ["not_a_number"]


@pytest.mark.parametrize("stamp", ["3939-05-18 21:00:00", "2025-06-10 00:59:60"])
def test_a_stamp_from_elsewhere_marks_no_good_hour_as_given_twice(stamp: str) -> None:
    case = CASES["airqino"]
    # 2^24 hours after 05:00: the same integer as that hour of the next station, where both are one.
    rows = [{"timestamp": stamp, "CO": 9.0}, *case.body["data"]]
    odd = case.answer(json.dumps({"data": rows}))
    behind = kept(
        "/v3/getStationHourlyAvg/2",
        {
            "data": [
                {"timestamp": f"{DAY.start + n * HOUR:%Y-%m-%d %H:%M:%S}", "CO": 1.0}
                for n in range(24)
            ]
        },
    )
    parsed = client_of("airqino").parse([odd, behind])
    assert not parsed.versions["duplicate"].any()
    assert len(of_station(parsed, "2")) == 24
    assert len(of_station(parsed, "1")) == 8


class PoisonedRows(AirQinoRows):
    """A parser that one answer is too much for."""

    raised: BaseException = RuntimeError("a bug")

    def add(self, answer: RawAnswer) -> None:
        super().add(answer)
        if "poison" in answer.body:
            raise self.raised


@pytest.mark.parametrize(
    "raised",
    [RuntimeError("a bug"), RecursionError(), MemoryError(), pl.exceptions.PanicException("x")],
)
def test_an_answer_that_makes_the_parser_raise_is_set_aside(
    raised: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoisonedRows, "raised", raised)
    case = CASES["airqino"]
    sound = [case.answer(json.dumps(case.body)), *case.others]
    poison = kept("/v3/getStationHourlyAvg/3", '{"data": [], "poison": 1}')
    parsed = parse_in_batches([sound[0], poison, sound[1]], PoisonedRows, station_of)
    assert_frame_equal(
        parsed.versions.sort("station_id", "parameter", "hour"),
        client_of("airqino").parse(sound).versions.sort("station_id", "parameter", "hour"),
    )
    (problem,) = parsed.problems.rows()
    assert (problem["station_id"], problem["problem"], problem["records"]) == ("3", SET_ASIDE, 1)
    assert type(raised).__name__ in str(problem["example"])
    assert parsed.unreadable == ("3",)


def test_whatever_a_request_raises_costs_one_station() -> None:
    def request() -> httpx.Response:
        raise LookupError("unknown encoding: rot13")

    pull = kept_pull("1", "https://x.invalid/1", {}, DAY, lambda: LATER, request, title="X")
    assert pull.answer is None
    assert isinstance(pull.failure, TransientFailure)
    assert "rot13" in pull.failure.message


def lost(form: str, text: str) -> str:
    """What the pull says of a sound answer that brings nothing; "" where all is well."""
    answer = CASES[form].answer(text)
    match form:
        case "airqino":
            return airqino_bodies.lost_reason(answer) or ""
        case "airqo":
            return airqo_bodies.lost_reason(answer, {"1"}) or ""
        case "irceline":
            return "; ".join(f"{one}: {why}" for one, why in lost_stations(answer))
    return openaq_bodies.lost_reason(answer) or ""


FORMS = ["airqino", "airqo", "irceline", "openaq_hours"]


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_answer_is_no_loss(form: str) -> None:
    assert lost(form, json.dumps(CASES[form].body)) == ""


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_of_other_days_alone_is_a_loss(form: str) -> None:
    text = json.dumps(CASES[form].body).replace("2025-06", "2024-06")
    for hour in HOURS:
        stamp = int((hour + HOUR).timestamp()) * 1000
        text = text.replace(str(stamp), str(stamp - 365 * 86_400_000))
    assert "2024-06" in lost(form, text) or "outside" in lost(form, text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("airqino", '{"error": "database down", "data": []}'),
        ("airqo", '{"error": "database down", "measurements": []}'),
        ("irceline", '{"error": "database down"}'),
        ("openaq_hours", '{"error": "database down", "results": []}'),
    ],
)
def test_an_error_in_place_of_readings_is_a_loss(form: str, text: str) -> None:
    assert "database down" in lost(form, text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("airqino", json.dumps({**CASES["airqino"].body, "header": {"station_id": 2}})),
        ("airqo", json.dumps(CASES["airqo"].body).replace('"device": "1"', '"device": "2"')),
        ("irceline", json.dumps({"2": CASES["irceline"].body["1"]})),
    ],
)
def test_an_answer_about_another_station_is_a_loss(form: str, text: str) -> None:
    assert lost(form, text)


def test_a_page_with_a_nan_is_a_full_page() -> None:
    rows = [1.0, math.nan, 2.0]
    assert len(openaq_bodies.rows_in(json.dumps({"results": rows}))) == len(rows)
    assert airqo_bodies.decoded('{"measurements": [NaN]}').keys() == {"measurements"}


@pytest.mark.parametrize(
    ("body", "fails"),
    [
        (json.loads(locations().body), False),
        ({"results": [{"id": 7, "sensors": []}]}, True),
        ({"results": []}, True),
        ({"error": "database down", "results": []}, True),
    ],
)
def test_a_location_that_is_another_is_a_failure(body: dict[str, Any], fails: bool) -> None:
    checked = _legible(Pull("1", kept("/v3/locations/1", body)))
    assert (checked.failure is not None) == fails
