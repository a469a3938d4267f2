"""AirQino's client against a server that speaks the contract, quirks and bad days included."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http.client import (
    MAX_WAIT_SECONDS,
    BrokenAnswer,
    RefusedRequest,
    retry_after_seconds,
)
from aq_resources.network_client import Pull
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client, known_networks, network_title
from aq_resources.networks.airqino.bodies import FIELDS
from aq_resources.networks.airqino.client import NEWEST_STATIONS
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_sandbox.server import RunningSandbox
from aq_science.stations import station_rows
from aq_science.tables.stations import STATIONS as STATIONS_TABLE
from aq_science.versions import VERSION_SCHEMA
from aq_science.windows import DAY, HOUR, Window
from tests.contract.conftest import NOW, STATIONS, Bench, MakeBench, time_limit

DAY_PATH = "/v3/getStationHourlyAvg/"
JUNE_10 = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
TODAY = Window.of_days(NOW.date(), NOW.date())


def served(sandbox: RunningSandbox, station: str, window: Window) -> dict[str, Any]:
    """What the sandbox answers to a plain request."""
    params = {
        "start_date": f"{window.start:%Y%m%d-%H%M}",
        "end_date": f"{window.end:%Y%m%d-%H%M}",
    }
    answer = httpx.get(f"{sandbox.url}{DAY_PATH}{station}", params=params, trust_env=False)
    body: dict[str, Any] = answer.json()
    return body


def answer_of(pull: Pull) -> RawAnswer:
    assert pull.failure is None
    assert pull.answer is not None
    return pull.answer


# ------------------------------------------------------------------------------- newest hour


def rows(*stamps: str, **values: float | None) -> str:
    """A body with a row for each stamp."""
    kept = values or {"PM2.5": 7.0}
    return json.dumps({"header": {}, "data": [{"timestamp": stamp, **kept} for stamp in stamps]})


def silence(sandbox: RunningSandbox, *stations: str) -> None:
    for station in stations:
        sandbox.set_answer(station, rows())


def ask(made: Bench, sandbox: RunningSandbox) -> tuple[datetime | None, list[str]]:
    """The newest hour, and the stations that were asked for it."""
    before = len(sandbox.requests())
    newest = made.client.newest_hour()
    return newest, [r.path.rsplit("/", 1)[-1] for r in sandbox.requests()[before:]]


def test_the_newest_hour_takes_three_small_requests(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, STATIONS)
    assert made.client.newest_hour() == datetime(2025, 6, 18, 8, tzinfo=UTC)
    requests = sandbox.requests()
    assert len(requests) == NEWEST_STATIONS
    for request in requests:
        query = httpx.QueryParams(request.query)
        assert (query["start_date"], query["end_date"]) == ("20250617-2120", "20250618-0920")
    # Asking is no pull: nothing of it is kept or retried.
    assert made.sent == []


def test_a_network_of_one_station_is_asked_once(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox)
    assert made.client.newest_hour() == datetime(2025, 6, 18, 8, tzinfo=UTC)
    assert len(sandbox.requests()) == 1


def test_the_hour_in_progress_is_no_newest_hour(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox)
    sandbox.set_answer(STATIONS[0], rows("2025-06-18 07:00:00", "2025-06-18 09:00:00"))
    assert made.client.newest_hour() == datetime(2025, 6, 18, 7, tzinfo=UTC)


def test_a_row_without_any_value_is_no_reading(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox)
    empty = {"timestamp": "2025-06-18 08:00:00", "PM2.5": None, "T. int.": 300}
    full = {"timestamp": "2025-06-18 06:00:00", "CO": 0.2}
    sandbox.set_answer(STATIONS[0], json.dumps({"header": {}, "data": [full, empty]}))
    assert made.client.newest_hour() == datetime(2025, 6, 18, 6, tzinfo=UTC)


def test_a_silent_network_has_no_newest_hour(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, STATIONS)
    silence(sandbox, *STATIONS)
    assert made.client.newest_hour() is None


def test_the_newest_of_the_stations_asked_counts(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, STATIONS[:3])
    for station, hour in zip(STATIONS, ("05", "07", "06"), strict=False):
        sandbox.set_answer(station, rows(f"2025-06-18 {hour}:00:00"))
    assert made.client.newest_hour() == datetime(2025, 6, 18, 7, tzinfo=UTC)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 100])
@pytest.mark.parametrize("speaks", [True, False])
def test_every_station_is_asked_in_turn(
    sandbox: RunningSandbox, bench: MakeBench, number: int, speaks: bool
) -> None:
    stations = tuple(f"{n:09}" for n in range(number))
    made = bench(sandbox, stations)
    silence(sandbox, *stations)
    if speaks:
        # The last in turn alone has a reading: it must be found, and then asked every time.
        sandbox.set_answer(stations[-1], rows("2025-06-18 08:00:00"))
    seen: set[str] = set()
    for _ in range(-(-number // (NEWEST_STATIONS - 1))):
        newest, asked = ask(made, sandbox)
        assert len(asked) == len(set(asked)) == min(number, NEWEST_STATIONS)
        seen |= set(asked)
    assert seen == set(stations)
    for _ in range(3 if speaks else 0):
        newest, asked = ask(made, sandbox)
        assert stations[-1] in asked
        assert newest == datetime(2025, 6, 18, 8, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["status", "html", "truncate", "empty", "disconnect"])
def test_one_sick_station_hides_no_hour(
    sandbox: RunningSandbox, bench: MakeBench, kind: str
) -> None:
    made = bench(sandbox, STATIONS[:3])
    sandbox.inject(kind, path_contains=STATIONS[0])
    assert made.client.newest_hour() == datetime(2025, 6, 18, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fault", "failure", "said"),
    [
        ({"kind": "status", "status": 500}, TransientFailure, "answered 500"),
        ({"kind": "html"}, TransientFailure, "HTML instead of JSON"),
        ({"kind": "timeout", "delay": 20.0}, TransientFailure, "did not answer in time"),
        ({"kind": "status", "status": 404}, PermanentFailure, "correct networks.airqino.stations"),
    ],
    ids=["500", "html", "timeout", "404"],
)
def test_where_nobody_answers_it_fails_at_once_with_the_reason(
    sandbox: RunningSandbox,
    bench: MakeBench,
    fault: dict[str, Any],
    failure: type[Exception],
    said: str,
) -> None:
    made = bench(sandbox, STATIONS, AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault["kind"]))
    sandbox.inject(**fault)
    with pytest.raises(failure, match=said):
        made.client.newest_hour()
    # Once: whoever asks comes back by itself.
    assert len(sandbox.requests()) <= NEWEST_STATIONS


def test_the_servers_wait_is_handed_on(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, STATIONS)
    sandbox.inject("status", status=429, retry_after=77)
    with pytest.raises(TransientFailure) as caught:
        made.client.newest_hour()
    assert caught.value.retry_after == 77


# ------------------------------------------------------------------------------------ answers


def test_the_network_is_found_by_its_module() -> None:
    assert "airqino" in known_networks()
    assert network_title("airqino") == "AirQino"


def test_an_anonymous_pull_keeps_every_answer_verbatim(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, STATIONS)
    pulls = made.pull(JUNE_10)
    assert tuple(pulls) == STATIONS
    for station, pull in pulls.items():
        answer = answer_of(pull)
        assert answer.url == f"{sandbox.url}{DAY_PATH}{station}"
        assert answer.params == {"start_date": "20250610-0000", "end_date": "20250611-0000"}
        assert answer.covers == JUNE_10
        assert answer.pulled_at == NOW
        assert answer.status == 200
        assert json.loads(answer.body) == served(sandbox, station, JUNE_10)
    assert all("Authorization" not in request.headers for request in made.sent)
    assert made.waits == []


def test_parsed_readings_are_the_served_rows(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, STATIONS)
    week = Window.of_days(date(2025, 6, 1), date(2025, 6, 7))
    pulls = made.pull(week)
    parsed = made.client.parse([answer_of(pull) for pull in pulls.values()])
    expected = {
        (station, FIELDS[key][0], row["timestamp"]): (value, FIELDS[key][1])
        for station in STATIONS
        for row in served(sandbox, station, week)["data"]
        if row["timestamp"] < "2025-06-08"
        for key, value in row.items()
        if key in FIELDS
    }
    found = {
        (station, parameter, f"{hour:%Y-%m-%d %H:%M:%S}"): (value, unit)
        for station, parameter, hour, value, unit in parsed.versions.select(
            "station_id", "parameter", "hour", "value_native", "unit_native"
        ).iter_rows()
    }
    assert len(found) > 3000
    assert found == expected
    assert parsed.versions.schema == VERSION_SCHEMA
    assert len(parsed.versions) == len(found)
    assert parsed.problems.total == 0
    assert parsed.unreadable == ()
    assert not parsed.versions["duplicate"].any()
    assert set(parsed.versions["pulled_at"]) == {NOW}


def test_absent_rows_and_keys_stay_absent(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, STATIONS)
    month = Window.of_days(date(2025, 4, 1), date(2025, 5, 31))
    bodies = {station: served(sandbox, station, month)["data"] for station in STATIONS}
    rows = [row for body in bodies.values() for row in body]
    # The sandbox has both quirks in these months, or this proves nothing.
    assert len(rows) < 4 * 61 * 24
    assert any(FIELDS.keys() - row.keys() for row in rows)
    parsed = made.client.parse([answer_of(pull) for pull in made.pull(month).values()])
    assert parsed.versions["value_native"].null_count() == 0
    for station, body in bodies.items():
        own = parsed.versions.filter(pl.col("station_id").cast(pl.String) == station)
        inside = [row for row in body if row["timestamp"] < "2025-06-01"]
        assert own["hour"].n_unique() == len(inside)
        assert len(own) == sum(len(FIELDS.keys() & row.keys()) for row in inside)


def test_the_boards_raw_temperature_is_no_reading(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox)
    answer = answer_of(made.pull(JUNE_10)[STATIONS[0]])
    rows = json.loads(answer.body)["data"]
    counts = [row["T. int."] for row in rows if row["timestamp"] < "2025-06-11"]
    assert min(counts) > 250
    parsed = made.client.parse([answer])
    temperatures = parsed.versions.filter(pl.col("parameter") == "temperature")["value_native"]
    assert len(temperatures) == len(counts)
    assert max(temperatures) < 60
    assert set(parsed.versions["parameter"]) == {name for name, _ in FIELDS.values()}


def test_the_station_is_the_one_asked_for(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox)
    station = STATIONS[0]
    for header in ({}, {"station_id": int(station)}, {"station_name": "elsewhere"}):
        row = {"timestamp": "2025-06-10 11:00:00", "CO": 0.5}
        sandbox.set_answer(station, json.dumps({"header": header, "data": [row]}))
        parsed = made.client.parse([answer_of(made.pull(JUNE_10)[station])])
        assert parsed.versions["station_id"].to_list() == [station]


def test_what_a_header_gives_to_another_station_is_not_taken(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox)
    station = STATIONS[0]
    row = {"timestamp": "2025-06-10 11:00:00", "CO": 0.5}
    sandbox.set_answer(station, json.dumps({"header": {"station_id": 12908}, "data": [row]}))
    pull = made.pull(JUNE_10)[station]
    assert pull.answer is not None
    assert pull.failure is not None
    assert "station 12908" in pull.failure.message
    parsed = made.client.parse([pull.answer])
    assert parsed.versions.is_empty()
    assert parsed.unreadable == (station,)
    assert [row["problem"] for row in parsed.problems.rows()] == ["another_station"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"error": "database down", "data": []}', "database down"),
        ('{"error": "database down"}', "database down"),
        ("{}", "no_data_list"),
        ('{"header": {}, "data": [{"timestamp": "3940-01-01 00:00:00", "CO": 1}]}', "3940-01-01"),
        ('{"header": {}, "data": [{"timestamp": "2025-06-09 22:00:00", "CO": 1}]}', "2025-06-09"),
    ],
)
def test_a_station_lost_in_a_sound_answer_is_a_failure(
    sandbox: RunningSandbox, bench: MakeBench, body: str, says: str
) -> None:
    sandbox.set_answer(STATIONS[0], body)
    pulls = bench(sandbox, STATIONS).pull(JUNE_10)
    lost = pulls[STATIONS[0]]
    assert lost.failure is not None
    assert says in lost.failure.message
    assert lost.answer is not None
    assert lost.answer.body == body
    assert all(pulls[station].failure is None for station in STATIONS[1:])


def test_an_answer_that_says_there_is_nothing_is_no_failure(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    # The end of the window counts, and its hour belongs to the next one.
    for body in (rows(), rows("2025-06-11 00:00:00")):
        sandbox.set_answer(STATIONS[0], body)
        assert bench(sandbox).pull(JUNE_10)[STATIONS[0]].failure is None


def test_the_window_begins_at_its_start_and_ends_before_its_end(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("283249436",))
    answer = answer_of(made.pull(JUNE_10)["283249436"])
    stamps = [row["timestamp"] for row in json.loads(answer.body)["data"]]
    # The network counts both ends of a window.
    assert stamps[-1] == "2025-06-11 00:00:00"
    hours = made.client.parse([answer]).versions["hour"]
    assert hours.min() == datetime(2025, 6, 10, tzinfo=UTC)
    assert hours.max() == datetime(2025, 6, 10, 23, tzinfo=UTC)


def test_the_hour_in_progress_is_dropped_until_it_has_ended(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    station = "283249436"
    clock = [NOW]
    made = bench(sandbox, (station,), now=lambda: clock[0])
    early = answer_of(made.pull(TODAY)[station])
    assert json.loads(early.body)["data"][-1]["timestamp"] == "2025-06-18 09:00:00"
    assert made.client.parse([early]).versions["hour"].max() == NOW.replace(hour=8, minute=0)
    clock[0] = datetime(2025, 6, 18, 10, 0, tzinfo=UTC)
    sandbox.set_clock(clock[0])
    on_time = made.client.parse([answer_of(made.pull(TODAY)[station])])
    assert on_time.versions["hour"].max() == NOW.replace(hour=9, minute=0)
    # Parsed later, the early answer's part of an hour is still one.
    again = made.client.parse([early])
    assert again.versions["hour"].max() == NOW.replace(hour=8, minute=0)


def test_a_long_window_is_asked_for_in_whole_spans(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    years = Window.of_days(date(2023, 1, 1), date(2024, 12, 31))
    made = bench(sandbox, STATIONS[:2])
    assert made.client.span == timedelta(days=366)
    pulls = list(made.client.pull(years))
    asked = [answer_of(pull).covers for pull in pulls]
    cut = datetime(2024, 1, 2, tzinfo=UTC)
    assert asked == [Window(years.start, cut)] * 2 + [Window(cut, years.end)] * 2
    parsed = made.client.parse([answer_of(pull) for pull in pulls])
    key = ["station_id", "parameter", "hour"]
    assert not parsed.versions.select(key).is_duplicated().any()
    hours = set(parsed.versions["hour"])
    # Nothing is lost where two spans meet.
    assert {cut - HOUR, cut} <= hours
    assert years.start <= min(hours)
    assert max(hours) < years.end


def test_the_span_is_the_networks_setting(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, config={"span_days": 10})
    pulls = list(made.client.pull(Window.of_days(date(2025, 5, 1), date(2025, 5, 25))))
    asked = [answer_of(pull).covers for pull in pulls]
    assert [len(window.dates) for window in asked] == [10, 10, 5]


def test_stations_cannot_be_found_by_area(clean_environment: None) -> None:
    area: Any = {"latitude": 5, "longitude": -4, "radius_km": 10}
    config = NetworkConfig(name="airqino", start_date=date(2024, 1, 1), area=area)
    with pytest.raises(SettingsError, match="stations"):
        create_client(config, Settings(), lambda: NOW)


# ----------------------------------------------------------------------------------- stations


def test_the_catalogue_describes_stations(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, STATIONS)
    found = made.client.stations()
    assert found.failures == {}
    listed = httpx.get(f"{sandbox.url}/api/station", trust_env=False).json()
    positions = {str(row["id"]): (row["name"], row["lat"], row["lon"]) for row in listed}
    assert [one.station_id for one in found.stations] == list(STATIONS)
    for one in found.stations:
        assert (one.name, one.latitude, one.longitude) == positions[one.station_id]
        assert set(one.parameters) <= {name for name, _ in FIELDS.values()}
        assert {"co", "pm25"} <= set(one.parameters)
        assert "AirQino" in one.attribution
    # One question for all of them.
    assert made.sent == []


def test_a_station_that_the_catalogue_lacks_is_described_by_its_header(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    listed = '[{"id": 283164601, "name": "Cocody", "lat": 5.3, "lon": -4.0}]'
    sandbox.inject("body", body=listed, path_contains="/api/station")
    made = bench(sandbox, STATIONS[:2])
    first, second = made.client.stations().stations
    assert (first.name, first.latitude, first.longitude) == ("Cocody", 5.3, -4.0)
    assert second.name == "SMART189"
    assert {"co", "pm25"} <= set(second.parameters)
    assert [request.url.path for request in made.sent] == [f"{DAY_PATH}{STATIONS[1]}"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 404},
        {"kind": "html"},
        {"kind": "empty"},
        {"kind": "disconnect"},
        {"kind": "body", "body": '{"detail": "no list"}'},
        {"kind": "body", "body": '[1, null, {"name": "nobody"}]'},
    ],
    ids=lambda fault: fault.get("body") or str(fault.get("status", fault["kind"])),
)
def test_without_the_catalogue_the_header_describes_them(
    sandbox: RunningSandbox, bench: MakeBench, fault: dict[str, Any]
) -> None:
    sandbox.inject(**fault, path_contains="/api/station")
    found = bench(sandbox, STATIONS[:2]).client.stations()
    assert found.failures == {}
    first = found.stations[0]
    assert first.name == "SMART188"
    assert (first.latitude, first.longitude) == (5.369345664978027, 0.05000000074505806)


def test_an_own_address_has_no_catalogue_unless_named(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, AQ_AIRQINO_CATALOGUE_URL="")
    assert made.client.stations().stations[0].longitude == 0.05000000074505806
    assert [request.path for request in sandbox.requests()] == [f"{DAY_PATH}{STATIONS[0]}"]


def test_an_override_mends_wrong_coordinates(sandbox: RunningSandbox, bench: MakeBench) -> None:
    found = bench(sandbox, STATIONS[:2], AQ_AIRQINO_CATALOGUE_URL="").client.stations()
    assert all(one.longitude is not None and one.longitude > 0 for one in found.stations)
    described = [{**asdict(one), "seen": True} for one in found.stations]
    known = {"latitude": 5.3357, "longitude": -3.9782, "timezone": "Africa/Abidjan"}
    frame, problems = station_rows(
        "airqino", described, {STATIONS[0]: known}, STATIONS_TABLE.schema.to_frame(), NOW
    )
    mended, other = frame.iter_rows(named=True)
    assert {name: mended[name] for name in known} == known
    assert mended["coordinates_source"] == "override"
    assert mended["name"] == "SMART188"
    assert (other["latitude"], other["longitude"], other["coordinates_source"]) == (None,) * 3
    assert problems["station_id"].to_list() == [STATIONS[1]]
    assert problems["problem"].to_list() == ["far_from_country"]


def test_a_station_that_cannot_be_described_does_not_hide_the_others(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    sandbox.inject("status", status=503, path_contains=STATIONS[1])
    found = bench(sandbox, STATIONS, AQ_AIRQINO_CATALOGUE_URL="").client.stations()
    assert [one.station_id for one in found.stations] == [STATIONS[0], *STATIONS[2:]]
    assert list(found.failures) == [STATIONS[1]]
    assert "503" in found.failures[STATIONS[1]].message


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "null",
        '{"header": null, "data": null}',
        '{"header": [1], "data": 5}',
        '{"header": {"station_lat": "north", "station_lon": true}, "data": [1, null]}',
        '{"header": {"station_lat": 1' + "0" * 400 + '}, "data": []}',
        '{"header": {"station_lat": 1e999}, "data": []}',
        '{"header": {"station_name": 188}, "data": []}',
    ],
    ids=lambda body: body[:44],
)
def test_a_nonsense_header_describes_nothing_and_breaks_nothing(
    sandbox: RunningSandbox, bench: MakeBench, body: str
) -> None:
    sandbox.set_answer(STATIONS[0], body)
    found = bench(sandbox, STATIONS[:2], AQ_AIRQINO_CATALOGUE_URL="").client.stations()
    assert [one.station_id for one in found.stations] == list(STATIONS[:2])
    assert found.stations[0].latitude is None
    assert found.stations[0].parameters == ()
    assert found.stations[1].latitude is not None


# --------------------------------------------------------------------------------- bad days


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "status", "status": 500}, "answered 500"),
        ({"kind": "status", "status": 502}, "answered 502"),
        ({"kind": "status", "status": 429}, "answered 429"),
        ({"kind": "status", "status": 408}, "answered 408"),
        ({"kind": "timeout", "delay": 4}, "did not answer in time"),
        ({"kind": "disconnect"}, "cannot be reached"),
        ({"kind": "truncate"}, "broken answer"),
        ({"kind": "html"}, "HTML instead of JSON"),
        ({"kind": "empty"}, "an empty body"),
    ],
    ids=lambda value: str(value.get("status", value["kind"])) if isinstance(value, dict) else "",
)
class TestFaults:
    def test_passing_ones_are_survived(
        self, sandbox: RunningSandbox, bench: MakeBench, fault: dict[str, Any], says: str
    ) -> None:
        sandbox.inject(**fault, times=2)
        made = bench(
            sandbox, AQ_HTTP_ATTEMPTS="3", AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault["kind"])
        )
        answer = answer_of(made.pull(JUNE_10)[STATIONS[0]])
        assert json.loads(answer.body)["data"]
        assert len(made.sent) == 3
        first, second = made.waits
        # Exponential, with jitter of up to a second.
        assert 1 <= first <= 2
        assert 2 <= second <= 3

    def test_lasting_ones_fail_with_what_happened_and_where(
        self, sandbox: RunningSandbox, bench: MakeBench, fault: dict[str, Any], says: str
    ) -> None:
        sandbox.inject(**fault)
        made = bench(
            sandbox, AQ_HTTP_ATTEMPTS="2", AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault["kind"])
        )
        pull = made.pull(JUNE_10)[STATIONS[0]]
        assert isinstance(pull.failure, TransientFailure)
        assert pull.failure.allow_retries
        assert says in pull.failure.message
        assert pull.failure.message.startswith("AirQino")
        assert f"{sandbox.url}{DAY_PATH}{STATIONS[0]}" in pull.failure.message
        assert len(made.sent) == 2
        assert len(made.waits) == 1


@pytest.mark.parametrize(
    ("fault", "body"), [("truncate", '{"header"'), ("html", "<!DOCTYPE"), ("empty", "")]
)
def test_a_broken_200_is_handed_over_to_be_kept(
    sandbox: RunningSandbox, bench: MakeBench, fault: str, body: str
) -> None:
    sandbox.inject(fault)
    made = bench(sandbox, AQ_HTTP_ATTEMPTS="2")
    pull = made.pull(JUNE_10)[STATIONS[0]]
    assert isinstance(pull.failure, BrokenAnswer)
    assert pull.answer is not None
    assert pull.answer.status == 200
    assert pull.answer.body.startswith(body)
    assert bool(pull.answer.body) == bool(body)
    parsed = made.client.parse([pull.answer])
    assert parsed.versions.is_empty()
    assert {row["problem"] for row in parsed.problems.rows()} == {"not_json"}
    assert parsed.unreadable == (STATIONS[0],)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "answered 400"),
        (401, "wants a login: set AQ_AIRQINO_USERNAME"),
        (403, "wants a login: set AQ_AIRQINO_USERNAME"),
        (404, f"no station '{STATIONS[0]}': correct networks.airqino.stations"),
    ],
)
def test_a_refusal_is_not_repeated_and_is_kept(
    sandbox: RunningSandbox, bench: MakeBench, status: int, says: str
) -> None:
    sandbox.inject("status", status=status)
    made = bench(sandbox)
    pull = made.pull(JUNE_10)[STATIONS[0]]
    assert isinstance(pull.failure, RefusedRequest)
    assert not pull.failure.allow_retries
    assert says in pull.failure.message
    assert len(made.sent) == 1
    assert pull.answer is not None
    assert pull.answer.status == status
    parsed = made.client.parse([pull.answer])
    assert parsed.versions.is_empty()
    assert [row["problem"] for row in parsed.problems.rows()] == [f"status_{status}"]
    # It says nothing about the form of answers.
    assert parsed.unreadable == ()


def test_a_station_unknown_upstream_is_named(sandbox: RunningSandbox, bench: MakeBench) -> None:
    pulls = bench(sandbox, ("777", STATIONS[0])).pull(JUNE_10)
    failure = pulls["777"].failure
    assert isinstance(failure, PermanentFailure)
    assert "AirQino knows no station '777': correct networks.airqino.stations." in failure.message
    answer_of(pulls[STATIONS[0]])


@pytest.mark.parametrize("status", [429, 503])
def test_the_servers_own_wait_is_honoured(
    sandbox: RunningSandbox, bench: MakeBench, status: int
) -> None:
    sandbox.inject("status", status=status, retry_after=7.5, times=2)
    made = bench(sandbox)
    answer_of(made.pull(JUNE_10)[STATIONS[0]])
    assert made.waits == [7.5, 7.5]


def test_a_wait_of_zero_is_a_wait_too(sandbox: RunningSandbox, bench: MakeBench) -> None:
    sandbox.inject("status", status=429, retry_after=0, times=1)
    made = bench(sandbox)
    answer_of(made.pull(JUNE_10)[STATIONS[0]])
    assert made.waits == [0]


def test_too_long_a_wait_fails_at_once_and_says_how_long(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    sandbox.inject("status", status=429, retry_after=MAX_WAIT_SECONDS + 1)
    made = bench(sandbox)
    failure = made.pull(JUNE_10)[STATIONS[0]].failure
    assert isinstance(failure, TransientFailure)
    assert failure.retry_after == MAX_WAIT_SECONDS + 1
    assert made.waits == []
    assert len(made.sent) == 1


def test_retry_after_may_be_a_date_or_nonsense() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    seconds = retry_after_seconds(f"{soon:%a, %d %b %Y %H:%M:%S} GMT")
    assert seconds is not None
    assert 20 < seconds <= 30
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_seconds("-3") == 0
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds("") is None
    assert retry_after_seconds(None) is None


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2015 07:28:00", "nan", "inf", "1e400"])
def test_a_strange_retry_after_never_breaks_the_wait(header: str) -> None:
    seconds = retry_after_seconds(header)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("sick", STATIONS)
def test_one_sick_station_never_sinks_the_others(
    sandbox: RunningSandbox, bench: MakeBench, sick: str
) -> None:
    sandbox.inject("disconnect", path_contains=sick)
    pulls = bench(sandbox, STATIONS, AQ_HTTP_ATTEMPTS="2").pull(JUNE_10)
    assert tuple(pulls) == STATIONS
    for station, pull in pulls.items():
        if station == sick:
            assert isinstance(pull.failure, TransientFailure)
        else:
            assert json.loads(answer_of(pull).body)["data"]


def test_nobody_there_is_a_passing_failure_that_names_the_address(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    # Port 9 (discard) is not served here; the connection is refused.
    made = bench(sandbox, AQ_AIRQINO_URL="http://127.0.0.1:9", AQ_HTTP_ATTEMPTS="2")
    failure = made.pull(JUNE_10)[STATIONS[0]].failure
    assert isinstance(failure, TransientFailure)
    assert "AirQino cannot be reached: GET http://127.0.0.1:9/" in failure.message


# ------------------------------------------------------------------------------- recordings


@pytest.mark.parametrize(
    "name", ["283164601_fetched_2023-12", "283164601_fetched_2024-09", "283181971_fetched_2024-09"]
)
def test_real_answers_are_read_row_by_row(
    real_data: Path, sandbox: RunningSandbox, bench: MakeBench, name: str
) -> None:
    text = (real_data / "airqino" / f"{name}.json").read_text()
    content = json.loads(text)
    rows = content if isinstance(content, list) else content["data"]
    if isinstance(content, list):
        text = json.dumps({"header": {}, "data": content})
    station = name.split("_", maxsplit=1)[0]
    window = Window.of_days(date(2022, 12, 1), date(2024, 9, 30))
    answer = RawAnswer(
        f"https://airqino.example{DAY_PATH}{station}",
        {},
        (window.start, window.end),
        window.end + DAY,
        200,
        text,
    )
    parsed = bench(sandbox).client.parse([answer])
    assert parsed.problems.total == 0
    expected = {
        (FIELDS[key][0], row["timestamp"]): value
        for row in rows
        for key, value in row.items()
        if key in FIELDS and value is not None
    }
    found = {
        (parameter, f"{hour:%Y-%m-%d %H:%M:%S}"): value
        for parameter, hour, value in parsed.versions.select(
            "parameter", "hour", "value_native"
        ).iter_rows()
    }
    assert len(expected) > 50_000
    assert found == expected
    assert len(parsed.versions) == len(expected)
    assert set(parsed.versions["station_id"]) == {station}
