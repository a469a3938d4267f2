"""IRCELINE's client against its sandbox: which series, how many requests, and bad days."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import BrokenAnswer, RefusedRequest
from aq_resources.networks.irceline.bodies import SeriesMeaning
from aq_resources.networks.irceline.client import SPAN
from aq_resources.networks.irceline.series import (
    LIST_LIFE,
    POINTS_PER_REQUEST,
    ListedSeries,
    batches,
)
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.versions import fold_versions
from aq_science.windows import DAY, HOUR, Window
from tests.contract.conftest import NOW, time_limit
from tests.contract.irceline.irceline_bench import BELGIUM, DATA, LIST, Bench, make_bench, values

JUNE_10 = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
TEOM, FIDAS = "10000", "10001"

Make = Callable[..., Bench]


def least_requests(series: int, window: Window) -> int:
    """The fewest requests that can bring `series` over `window`: the list, and full answers."""
    points = (series * math.ceil((part.end - part.start) / HOUR) for part in window.chunks(SPAN))
    return 1 + sum(math.ceil(count / POINTS_PER_REQUEST) for count in points)


@pytest.fixture
def make(
    clean_environment: None, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Makes clients of the sandbox; names in capitals are settings."""
    stack = ExitStack()

    def made(**given: Any) -> Bench:
        settings = {name: value for name, value in given.items() if name.isupper()}
        for name, value in {**sandbox.environment, **settings}.items():
            monkeypatch.setenv(name, value)
        bench = make_bench(**{name: given[name] for name in given if name not in settings})
        stack.callback(bench.client.close)
        return bench

    with stack:
        yield made


# ------------------------------------------------------------------------------ which stations


def test_all_stations_of_an_area_are_described(make: Make) -> None:
    bench = make()
    found = bench.client.stations()
    assert found.failures == {}
    assert [one.station_id for one in found.stations] == ["1030", "1148", "1234", "9001", "9002"]
    first = found.stations[0]
    assert (first.name, first.city, first.country) == ("40AL01 - Linkeroever", "Linkeroever", "BE")
    assert (first.latitude, first.longitude) == (51.2362, 4.3852)
    assert {one.timezone for one in found.stations} == {"Europe/Brussels"}
    assert all("CC BY 4.0" in one.attribution for one in found.stations)
    # Benzene has no parameter here.
    assert first.parameters == ("bc", "co", "no2", "o3", "pm1", "pm10", "pm25")
    assert bench.paths() == [LIST]


def test_a_radius_leaves_out_what_is_farther(make: Make) -> None:
    # Borgerhout lies 4.4 km from Linkeroever, Vorst 47 km.
    near = {"latitude": 51.2362, "longitude": 4.3852}
    for radius, expected in ((1, {"1030"}), (4.3, {"1030"}), (4.5, {"1030", "1148"})):
        found = make(area={**near, "radius_km": radius}).client.stations()
        assert {one.station_id for one in found.stations if one.station_id < "9"} == expected


def test_an_area_without_stations_is_to_be_mended(make: Make) -> None:
    bench = make(area={"latitude": 0, "longitude": 0, "radius_km": 10})
    [pull] = bench.pull(JUNE_10)
    assert isinstance(pull.failure, PermanentFailure)
    assert "no station within 10 km of 0, 0: correct networks.irceline.area" in pull.failure.message
    assert list(bench.client.stations().failures.values()) != []


def test_listed_stations_alone_are_asked_for_and_unknown_ones_named(make: Make) -> None:
    bench = make(stations=("1234", "777"))
    unknown, pull = bench.pull(JUNE_10)
    assert unknown.source == "777"
    assert isinstance(unknown.failure, PermanentFailure)
    assert "no series of station '777': correct networks.irceline.stations." in (
        unknown.failure.message
    )
    assert pull.answer is not None
    assert set(bench.client.parse([pull.answer]).versions["station_id"]) == {"1234"}
    found = bench.client.stations()
    assert [one.station_id for one in found.stations] == ["1234"]
    assert list(found.failures) == ["777"]


def test_positions_come_from_the_stations_where_the_series_have_none(
    make: Make, sandbox: RunningSandbox
) -> None:
    listed = json.dumps(
        [
            {
                "id": "1",
                "uom": "ug/m3",
                "parameters": {
                    "phenomenon": {"id": "7", "label": "Ozone"},
                    "feature": {"id": "1030", "label": "40AL01 - Linkeroever"},
                },
            }
        ]
    )
    sandbox.inject("body", body=listed, times=1, path_contains=LIST)
    bench = make()
    [station] = bench.client.stations().stations
    assert (station.station_id, station.latitude) == ("1030", 51.2362)
    assert station.name == "40AL01 - Linkeroever"
    assert bench.paths() == [LIST, "/sos/api/v1/stations"]


def test_phenomena_are_told_by_their_labels_whatever_their_ids(
    make: Make, sandbox: RunningSandbox
) -> None:
    def entry(series: str, number: str, label: str) -> dict[str, Any]:
        return {
            "id": series,
            "uom": "mg/m3",
            "station": {
                "properties": {"id": 1030, "label": "40AL01 - Linkeroever"},
                "geometry": {"coordinates": [4.3852, 51.2362, "NaN"]},
            },
            "parameters": {"phenomenon": {"id": number, "label": label}},
        }

    # 391 is Black Carbon, and is taken for CO elsewhere; the list alone says what it is here.
    named = [("391", "Carbon Monoxide"), ("7", "Black Carbon"), ("20", "Ozone"), ("8", "Benzene")]
    listed = [entry(str(10_000 + n), *one) for n, one in enumerate(named)]
    sandbox.inject("body", body=json.dumps(listed), times=1, path_contains=LIST)
    bench = make()
    [station] = bench.client.stations().stations
    assert station.parameters == ("bc", "co", "o3")
    bench.pull(JUNE_10)
    [question] = bench.questions()
    assert question["timeseries"] == ["10001", "10000", "10002"]
    assert LIST in bench.paths()
    assert not any("phenomena" in path for path in bench.paths())


@pytest.mark.parametrize("body", ['{"error": "no list"}', '[1, null, {"id": "1"}]', "null"])
def test_a_list_of_another_form_is_said_to_be_so(
    make: Make, sandbox: RunningSandbox, body: str
) -> None:
    sandbox.inject("body", body=body, path_contains=LIST)
    bench = make()
    [pull] = bench.pull(JUNE_10)
    assert isinstance(pull.failure, PermanentFailure)
    assert "list" in pull.failure.message
    assert list(bench.client.stations().failures) == ["IRCELINE"]


# ----------------------------------------------------------------------- questions and answers


def test_one_question_brings_a_day_of_every_series(make: Make) -> None:
    bench = make()
    parsed = bench.parsed(JUNE_10)
    assert bench.paths() == [LIST, DATA]
    [question] = bench.questions()
    assert question["timespan"] == "2025-06-10T00:00:00Z/2025-06-11T00:00:00Z"
    assert len(question["timeseries"]) == len(set(question["timeseries"])) == 27
    hours = parsed.versions.group_by("station_id", "parameter").agg(
        pl.len(), pl.col("hour").n_unique().alias("different")
    )
    # 25 points a series, 24 hours at most, none twice.
    assert hours["len"].to_list() == hours["different"].to_list()
    assert hours["len"].max() == 24
    assert parsed.problems.total == 0


def test_a_pull_says_how_many_bring_its_window(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aq_resources.networks.irceline.series.POINTS_PER_REQUEST", 24 * 10)
    pulls = make().pull(JUNE_10)
    assert len(pulls) == 3
    assert {pull.expected_answers for pull in pulls} == {3}


def test_the_question_is_part_of_the_answer_kept(make: Make) -> None:
    bench = make(stations=("1234",))
    [pull] = bench.pull(JUNE_10)
    answer = pull.answer
    assert answer is not None
    [question] = bench.questions()
    assert answer.url.endswith(DATA)
    assert answer.params["timespan"] == question["timespan"]
    assert answer.params["timeseries"].split(",") == question["timeseries"]
    assert list(json.loads(answer.params["series"])) == question["timeseries"]
    # The same question on another day, or of other series, is another question.
    [again] = make(stations=("1234",)).pull(JUNE_10)
    [other] = make(stations=("1148",)).pull(JUNE_10)
    [later] = make(stations=("1234",)).pull(Window(JUNE_10.start + DAY, JUNE_10.end + DAY))
    assert again.answer is not None
    assert other.answer is not None
    assert later.answer is not None
    requests = [one.request for one in (answer, other.answer, later.answer)]
    assert again.answer.request == requests[0]
    assert len(set(requests)) == 3


def test_days_asked_one_by_one_or_at_once_give_the_same_hours(make: Make) -> None:
    bench = make()
    whole = Window.of_days(date(2025, 6, 8), date(2025, 6, 10))
    at_once = bench.parsed(whole).versions
    by_day = pl.concat([bench.parsed(part).versions for part in whole.chunks(DAY)])
    key = ["station_id", "parameter", "hour", "value_native", "sensor_id"]
    order = [pl.col("station_id").cast(pl.String), "parameter", "hour"]
    assert at_once.select(key).sort(order).equals(by_day.select(key).sort(order))


def test_the_older_series_fills_the_newer_ones_gaps(make: Make) -> None:
    month = Window.of_days(date(2025, 5, 1), date(2025, 5, 31))
    bench = make(stations=("1030",))
    pm10 = fold_versions(bench.parsed(month).versions).filter(pl.col("parameter") == "pm10")
    assert pm10["hour"].is_unique().all()
    used = dict(pm10["sensor_id"].cast(pl.String).value_counts().iter_rows())
    assert set(used) == {TEOM, FIDAS}
    assert used[FIDAS] > 20 * used[TEOM] > 0


def test_a_window_longer_than_the_span_is_cut(make: Make) -> None:
    bench = make(stations=("1234",), span_days=2)
    assert bench.client.span == 2 * DAY
    parsed = bench.parsed(Window.of_days(date(2025, 6, 1), date(2025, 6, 5)))
    assert [question["timespan"] for question in bench.questions()] == [
        "2025-06-01T00:00:00Z/2025-06-03T00:00:00Z",
        "2025-06-03T00:00:00Z/2025-06-05T00:00:00Z",
        "2025-06-05T00:00:00Z/2025-06-06T00:00:00Z",
    ]
    assert parsed.versions.select("parameter", "hour").is_unique().all()
    assert make(stations=("1234",)).client.span == SPAN <= timedelta(days=366)


def test_four_recorded_series_of_25_points_are_24_hours_a_day_and_none_twice(
    make: Make, real_data: Path
) -> None:
    """The values of the day are worked out from the body in test_irceline_parse.py."""
    now = datetime(2023, 11, 24, tzinfo=UTC)
    november_22 = Window.of_days(date(2023, 11, 22), date(2023, 11, 22))
    with running_sandbox(SandboxConfig(replay=real_data, now=now)) as recorded:
        bench = make(
            stations=("1030",), now=lambda: now, AQ_IRCELINE_URL=recorded.url + "/sos/api/v1"
        )
        day = bench.parsed(november_22)
        around = bench.parsed(november_22.padded(before=DAY, after=DAY))
        listed = {one.series_id for one in bench.client._series.listed(bench.client._http)}
    assert day.problems.total == around.problems.total == 0
    # One POST brought them all; benzene (10897) has no parameter here, PM1 (10841) no points.
    assert len(bench.questions()) == 2
    assert {"6152", "6151", "100008", "10841"} <= listed
    assert "10897" not in listed
    pm10 = values(day, "pm10", "1030")
    assert list(pm10) == [f"2023-11-22 {hour:02d}" for hour in range(24)]
    assert [pm10[f"2023-11-22 {hour:02d}"] for hour in (0, 1, 2, 23)] == [17.9, 17.9, 18.9, 21.9]
    for parameter, series, last in (("pm10", "6152", 21.9), ("bc", "6151", 1.1)):
        found = day.versions.filter(parameter=parameter)
        assert found["hour"].n_unique() == len(found) == 24
        assert set(found["sensor_id"].cast(pl.String)) == {series}
        assert values(day, parameter)["2023-11-22 23"] == last
    assert len(values(day, "pm25")) == 24
    # Asked for with the days beside it, the point of 00:00Z is the last hour of the day before.
    assert values(around, "pm10") == {"2023-11-21 23": 17.9, **pm10}


# ------------------------------------------------------------------------------ requests used


@pytest.fixture(scope="module")
def large() -> Any:
    with running_sandbox(SandboxConfig(stations=200, now=NOW)) as sandbox:
        yield sandbox


def test_an_hourly_refresh_of_200_stations_costs_the_least(
    make: Make, large: RunningSandbox
) -> None:
    bench = make(area=BELGIUM, AQ_IRCELINE_URL=large.environment["AQ_IRCELINE_URL"])
    window = Window(JUNE_10.start, JUNE_10.end + DAY)
    parsed = bench.parsed(window)
    assert parsed.versions["station_id"].n_unique() == 200
    [question] = bench.questions()
    assert len(question["timeseries"]) > 800
    assert len(bench.sent) == least_requests(len(question["timeseries"]), window) == 2
    # The list is good for some hours.
    bench.parsed(window)
    assert bench.paths() == [LIST, DATA, DATA]


def made_up(stations: int) -> list[ListedSeries]:
    """Four to six series a station, every third with two of PM10."""
    return [
        ListedSeries(
            f"{station}{place}", SeriesMeaning(str(station), parameter), parameter, "", 51.0, 4.0
        )
        for station in range(stations)
        for place, parameter in enumerate(
            [
                *("pm10",) * (2 if station % 3 == 0 else 1),
                "pm25",
                "no2",
                *("o3", "so2")[: station % 3],
            ]
        )
    ]


@pytest.mark.parametrize("stations", [1, 20, 137, 200])
@pytest.mark.parametrize("days", [1, 2, 31, 92, 365, 366, 1000])
def test_requests_stay_within_a_tenth_of_the_least(stations: int, days: int) -> None:
    series = made_up(stations)
    window = Window(JUNE_10.start - days * DAY, JUNE_10.start)
    parts = [batch for part in window.chunks(SPAN) for batch in batches(series, part)]
    for part in window.chunks(SPAN):
        cut = list(batches(series, part))
        assert [one for batch in cut for one in batch] == series
        hours = (part.end - part.start) / HOUR
        assert all(len(batch) * hours <= POINTS_PER_REQUEST for batch in cut)
        where: dict[tuple[str, str], set[int]] = {}
        for place, batch in enumerate(cut):
            for one in batch:
                where.setdefault((one.meaning.station, one.parameter), set()).add(place)
        assert all(len(places) == 1 for places in where.values())
    # At most a tenth more; of fewer than ten, at most one more.
    least = least_requests(len(series), window)
    assert 1 + len(parts) <= max(1.1 * least, least + 1)


# -------------------------------------------------------------------------------- newest hour


def test_the_newest_hour_is_told_by_one_question(make: Make) -> None:
    bench = make()
    assert bench.client.newest_hour() == NOW.replace(minute=0) - HOUR
    assert bench.paths() == [LIST, DATA]
    bench.client.newest_hour()
    assert bench.paths() == [LIST, DATA, DATA]
    first, second = bench.questions()
    assert first["timespan"] == "2025-06-17T21:20:00Z/2025-06-18T09:20:00Z"
    assert len(second["timeseries"]) == len(set(second["timeseries"]))


def test_many_stations_are_asked_in_turn_for_their_newest_hour(
    make: Make, large: RunningSandbox
) -> None:
    bench = make(area=BELGIUM, AQ_IRCELINE_URL=large.environment["AQ_IRCELINE_URL"])
    for _ in range(60):
        assert bench.client.newest_hour() == NOW.replace(minute=0) - HOUR
    asked = [question["timeseries"] for question in bench.questions()]
    assert {len(ids) for ids in asked} == {40}
    total = len(bench.client._series.listed(bench.client._http))
    assert len({name for ids in asked for name in ids}) == total


def test_no_reading_of_the_last_hours_is_no_newest_hour(
    make: Make, sandbox: RunningSandbox
) -> None:
    bench = make()
    for one in bench.client._series.listed(bench.client._http):
        sandbox.set_answer(one.series_id, '{"values": []}')
    assert bench.client.newest_hour() is None


@pytest.mark.parametrize("status", [404, 503])
def test_a_sick_network_tells_no_newest_hour(
    make: Make, sandbox: RunningSandbox, status: int
) -> None:
    bench = make()
    bench.client.newest_hour()
    sandbox.inject("status", status=status, path_contains="getData")
    with pytest.raises((TransientFailure, PermanentFailure), match=str(status)):
        bench.client.newest_hour()
    assert bench.waits == []


# ----------------------------------------------------------------------------------- bad days


@pytest.mark.parametrize("path", [LIST, DATA])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "status", "status": 502}, "answered 502"),
        ({"kind": "status", "status": 429}, "answered 429"),
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
        self, make: Make, sandbox: RunningSandbox, fault: dict[str, Any], says: str, path: str
    ) -> None:
        sandbox.inject(**fault, times=2, path_contains=path)
        bench = make(AQ_HTTP_ATTEMPTS="3", AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault["kind"]))
        assert not bench.parsed(JUNE_10).versions.is_empty()
        assert len(bench.sent) == 4
        first, second = bench.waits
        assert 1 <= first <= 2 <= second <= 3

    def test_lasting_ones_fail_with_what_happened_and_where(
        self, make: Make, sandbox: RunningSandbox, fault: dict[str, Any], says: str, path: str
    ) -> None:
        sandbox.inject(**fault, path_contains=path)
        bench = make(AQ_HTTP_ATTEMPTS="2", AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault["kind"]))
        [pull] = bench.pull(JUNE_10)
        assert isinstance(pull.failure, TransientFailure)
        assert says in pull.failure.message
        method = "POST" if path == DATA else "GET"
        assert f"{method} {sandbox.url}{path}" in pull.failure.message
        assert len(bench.waits) == 1


def test_a_broken_200_is_handed_over_to_be_kept(make: Make, sandbox: RunningSandbox) -> None:
    sandbox.inject("truncate", path_contains=DATA)
    bench = make(AQ_HTTP_ATTEMPTS="1", stations=("1030", "1148"))
    [pull] = bench.pull(JUNE_10)
    assert isinstance(pull.failure, BrokenAnswer)
    assert pull.answer is not None
    assert pull.answer.body.startswith('{"1000')
    parsed = bench.client.parse([pull.answer])
    assert parsed.unreadable == ("1030", "1148")


def test_one_gone_series_does_not_cost_the_others(make: Make, sandbox: RunningSandbox) -> None:
    whole = make().parsed(JUNE_10).versions
    sandbox.set_answer("10052", "")  # Ozone of station 9001: listed, but no longer served
    bench = make()
    pulls = bench.pull(JUNE_10)
    [sick] = [pull for pull in pulls if pull.failure]
    assert sick.source == "series 10052"
    assert isinstance(sick.failure, RefusedRequest)
    assert "It says: Timeseries with id '10052' could not be found." in sick.failure.message
    assert sick.answer is not None
    assert sick.answer.status == 404
    found = bench.client.parse([pull.answer for pull in pulls if pull.answer])
    left = whole.filter(pl.col("sensor_id") != "10052").drop("pulled_at")
    order = [pl.col("station_id").cast(pl.String), "parameter", "hour"]
    assert found.versions.drop("pulled_at").sort(order).equals(left.sort(order))
    # Halving 27 series finds one in at most 1 + 2 * 5 questions; then the list is asked again.
    assert len(bench.questions()) <= 11
    bench.pull(JUNE_10)
    assert bench.paths().count(LIST) == 2


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_network_that_refuses_everything_is_not_searched_for_long(
    make: Make, sandbox: RunningSandbox, status: int
) -> None:
    sandbox.inject("status", status=status, path_contains=DATA)
    bench = make(AQ_HTTP_ATTEMPTS="1")
    pulls = bench.pull(JUNE_10)
    assert all(pull.failure is not None for pull in pulls)
    assert len(bench.questions()) == 3
    assert str(status) in str(pulls[0].failure)


def test_a_series_that_breaks_the_server_is_found_too(make: Make, sandbox: RunningSandbox) -> None:
    sandbox.inject("status", status=500, path_contains=DATA, times=2)
    bench = make(AQ_HTTP_ATTEMPTS="1")
    pulls = bench.pull(JUNE_10)
    # The whole and its first half failed; the quarters of that half went through.
    assert [pull.failure for pull in pulls] == [None, None, None]
    assert len(bench.questions()) == 5


def test_one_malformed_series_leaves_the_others(make: Make, sandbox: RunningSandbox) -> None:
    sandbox.set_answer("10052", '{"points": []}')
    parsed = make().parsed(JUNE_10)
    assert parsed.unreadable == ()
    assert [(row["station_id"], row["problem"]) for row in parsed.problems.rows()] == [
        ("9001", "no_values_list")
    ]
    assert "o3" not in parsed.versions.filter(pl.col("station_id") == "9001")["parameter"]


def test_the_list_is_asked_again_after_some_hours(make: Make) -> None:
    now = NOW
    bench = make(now=lambda: now, stations=("1234",))
    bench.pull(JUNE_10)
    now += LIST_LIFE - timedelta(minutes=1)
    bench.pull(JUNE_10)
    assert bench.paths().count(LIST) == 1
    now += timedelta(minutes=2)
    bench.pull(JUNE_10)
    assert bench.paths().count(LIST) == 2
