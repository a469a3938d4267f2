"""OpenAQ's client against a server that speaks the contract, quirks and bad days included."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http.client import RefusedRequest
from aq_resources.network_client import Pull
from aq_resources.network_settings import Area, NetworkConfig
from aq_resources.networks import create_client
from aq_resources.networks.openaq import OpenAQClient, budget
from aq_resources.networks.openaq.api import PAGE
from aq_resources.networks.openaq.archive import archive_url, local_days
from aq_resources.networks.openaq.bodies import refusal_hint
from aq_resources.networks.openaq.locations import FILE
from aq_resources.settings import Settings
from aq_resources.stores.object_store import LocalObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_sandbox.networks.openaq import KEY
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from aq_science.windows import DAY, HOUR, Window
from tests.contract.conftest import NOW
from tests.servers.s3 import S3Server

STATIONS = ("2178", "8118")
JUNE_10 = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
# pm25, pm10, co, no2, temperature, humidity; the seventh sensor counts particles.
MEASURED = 6


@dataclass
class Bench:
    """A client, what it waited (without waiting), and every answer it got."""

    client: OpenAQClient
    waits: list[float] = field(default_factory=list)
    got: list[httpx.Response] = field(default_factory=list)
    slept: float = 0.0

    def wait(self, seconds: float) -> None:
        """Time goes by for who waits."""
        self.waits.append(seconds)
        self.slept += seconds

    def pull(self, window: Window) -> list[Pull]:
        return list(self.client.pull(window))

    def good(self, window: Window) -> list[RawAnswer]:
        pulls = self.pull(window)
        assert [pull.failure for pull in pulls] == [None] * len(pulls)
        return [pull.answer for pull in pulls if pull.answer is not None]


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeBench]:
    """Makes clients of a sandbox; keyword arguments are settings (`AQ_…`)."""
    with ExitStack() as stack:

        def make(
            sandbox: RunningSandbox,
            stations: tuple[str, ...] = STATIONS,
            *,
            now: Callable[[], datetime] = lambda: NOW,
            config: dict[str, Any] | None = None,
            **settings: str,
        ) -> Bench:
            home = {"AQ_HOME": str(tmp_path / "home"), "AQ_OPENAQ_ARCHIVE": "none"}
            for name, value in {**sandbox.environment, **home, **settings}.items():
                monkeypatch.setenv(name, value)
            entry = NetworkConfig(
                name="openaq", start_date=date(2020, 1, 1), stations=stations, **(config or {})
            )
            client = create_client(entry, Settings(), now)
            assert isinstance(client, OpenAQClient)
            stack.callback(client.close)
            made = Bench(client)
            client._api.http._retrying.sleep = made.waits.append
            client._api.limit._sleep = made.wait
            client._api.limit._now = lambda: time.time() + made.slept
            client._api.http._client.event_hooks["response"].append(made.got.append)
            return made

        yield make


def locations_file() -> Path:
    return Settings().home / "openaq" / FILE


def paths(sandbox: RunningSandbox) -> list[str]:
    return [request.path for request in sandbox.requests()]


def hours_asked(sandbox: RunningSandbox) -> list[httpx.QueryParams]:
    return [httpx.QueryParams(r.query) for r in sandbox.requests() if r.path.endswith("/hours")]


# ------------------------------------------------------------------------------------- pull


def test_a_day_is_one_request_a_sensor_and_one_a_location(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox)
    answers = made.good(JUNE_10)
    assert len(answers) == len(STATIONS) * (1 + MEASURED)
    assert sorted(paths(sandbox)) == sorted(
        [f"/v3/locations/{station}" for station in STATIONS]
        + [f"/v3/sensors/{station}{n}/hours" for station in STATIONS for n in range(MEASURED)]
    )
    ends = Counter(query["datetime_to"] for query in hours_asked(sandbox))
    # The last hour that begins within the day ends half an hour later in Delhi.
    others = (len(STATIONS) - 1) * MEASURED
    assert ends == {"2025-06-11T00:00:00Z": others, "2025-06-11T00:30:00Z": MEASURED}
    for query in hours_asked(sandbox):
        assert dict(query) == {
            "datetime_from": "2025-06-10T00:00:00Z",
            "datetime_to": query["datetime_to"],
            "limit": "1000",
            "page": "1",
        }
    assert {answer.window for answer in answers} == {(JUNE_10.start, JUNE_10.end)}


def test_readings_are_what_the_server_holds(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, ("8118",))
    parsed = made.client.parse(made.good(JUNE_10))
    assert not parsed.problems.total
    headers = {"X-API-Key": KEY}
    # Asked in another way: the hours of two days, all of them, by the end's local time.
    with httpx.Client(base_url=sandbox.url, headers=headers, trust_env=False) as plain:
        for number, parameter in enumerate(
            ("pm25", "pm10", "co", "no2", "temperature", "humidity")
        ):
            query = {"datetime_from": "2025-06-09T00:00:00Z", "datetime_to": "2025-06-12T00:00:00Z"}
            body = plain.get(f"/v3/sensors/8118{number}/hours", params=query).json()
            expected = {
                row["period"]["datetimeFrom"]["utc"]: row["value"]
                for row in body["results"]
                if row["value"] is not None
                and row["period"]["datetimeFrom"]["utc"].startswith("2025-06-10T")
            }
            rows = parsed.versions.filter(pl.col("parameter") == parameter)
            found = {
                f"{at:%Y-%m-%dT%H:%M:%SZ}": value
                for at, value in rows.select("hour", "value_native").iter_rows()
            }
            assert found == expected
            assert len(found) > 15
    assert set(parsed.versions["station_id"]) == {"8118"}


def test_units_become_canonical(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, ("2178", "8118", "900001"))
    folded = fold_versions(made.client.parse(made.good(JUNE_10)).versions)
    readings = hourly_readings(folded, "openaq")
    units = dict(readings.group_by("parameter").agg(pl.col("unit_native").unique()).iter_rows())
    assert {name: sorted(found) for name, found in units.items()} == {
        "pm25": ["µg/m³"],
        "pm10": ["µg/m³"],
        "co": ["µg/m³"],
        "no2": ["ppm"],
        "temperature": ["c", "f"],
        "humidity": ["%"],
    }
    assert readings["value"].null_count() == 0
    warmth = readings.filter(pl.col("parameter") == "temperature", pl.col("flag") == "valid")
    assert warmth["value"].is_between(15, 45).all()


def test_a_window_is_cut_so_that_a_page_is_never_full(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178",))
    months = Window.of_days(date(2024, 1, 1), date(2024, 4, 30))
    answers = made.good(months)
    asked = hours_asked(sandbox)
    # 2,904 hours at a thousand a page are three requests: no fewer could do.
    assert len(asked) == 3 * MEASURED
    assert {query["page"] for query in asked} == {"1"}
    # Adjoining windows neither overlap nor leave a gap.
    edges = sorted({(query["datetime_from"], query["datetime_to"]) for query in asked})
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]
    versions = made.client.parse(answers).versions
    assert not versions["duplicate"].any()
    pm25 = versions.filter(pl.col("parameter") == "pm25")
    assert pm25["hour"].is_unique().all()
    assert pm25["hour"].dt.date().n_unique() > 108


def test_pages_are_asked_for_until_one_is_short(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, ("2178",), config={"span_days": 100})
    window = Window.of_days(date(2024, 1, 1), date(2024, 4, 9))
    answers = made.good(window)
    first = [answer for answer in answers if answer.url.endswith("/21780/hours")]
    sizes = [len(json.loads(answer.body)["results"]) for answer in first]
    assert sizes[:-1] == [PAGE] * (len(sizes) - 1)
    assert len(sizes) == 3
    # What the pages say of how many were found is of no use.
    assert json.loads(first[0].body)["meta"]["found"] == ">1000"
    in_one = bench(sandbox, ("2178",)).good(window)
    one, other = (
        made.client.parse(a).versions.sort("parameter", "hour") for a in (answers, in_one)
    )
    assert one.drop("pulled_at").equals(other.drop("pulled_at"))


def test_a_full_last_page_is_followed_by_an_empty_one(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178",))
    pulls = made.client._api.pages("x", "/sensors/21780/hours", {}, JUNE_10)
    for value in range(3):
        row = {"value": value, "period": None}
        sandbox.set_answer("21780", json.dumps({"results": [row] * PAGE}))
        assert next(pulls).failure is None
    sandbox.set_answer("21780", json.dumps({"results": []}))
    assert len(list(pulls)) == 1


def test_a_page_repeated_under_another_number_is_the_end(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178",))
    rows = [{"value": 1.0, "period": None}] * PAGE
    pulls = made.client._api.pages("x", "/sensors/21780/hours", {}, JUNE_10)
    for page in (1, 2):
        sandbox.set_answer("21780", json.dumps({"meta": {"page": page}, "results": rows}))
        last = next(pulls)
    assert "the same page twice" in str(last.failure)
    assert not list(pulls)


def test_locations_are_asked_for_once_a_day_by_all_processes(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    now = [NOW]
    first = bench(sandbox, now=lambda: now[0]).good(JUNE_10)
    for later, asked in ((timedelta(hours=23), 0), (timedelta(hours=25), len(STATIONS))):
        now[0] = NOW + later
        sandbox.reset()
        again = bench(sandbox, now=lambda: now[0]).good(JUNE_10)
        assert sum("/locations/" in path for path in paths(sandbox)) == asked
        assert len(again) == len(first)
    # Others than the kept ones are asked for.
    sandbox.reset()
    bench(sandbox, ("7440",), now=lambda: now[0]).good(JUNE_10)
    assert "/v3/locations/7440" in paths(sandbox)


@pytest.mark.parametrize("body", ['{"results": [{"name": "x"}]}', '{"stations": []}', "[]"])
def test_locations_of_another_form_fail_and_are_not_kept(
    sandbox: RunningSandbox, bench: MakeBench, body: str
) -> None:
    made = bench(sandbox)
    sandbox.inject("body", body=body, path_contains="/locations/")
    pulls = list(made.client.pull(JUNE_10))
    assert [pull.source for pull in pulls] == list(STATIONS)
    for failure in [*(pull.failure for pull in pulls), *made.client.stations().failures.values()]:
        assert isinstance(failure, PermanentFailure)
        assert "no longer have the known form" in failure.message
    sandbox.clear()
    assert len(made.good(JUNE_10)) == len(STATIONS) * (1 + MEASURED)


def test_a_damaged_file_of_locations_is_no_obstacle(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox)
    made.good(JUNE_10)
    locations_file().write_text('{"question": ')
    assert len(made.good(JUNE_10)) == len(STATIONS) * (1 + MEASURED)


def test_a_recorded_station_comes_through_the_client(bench: MakeBench, real_data: Path) -> None:
    now = datetime(2024, 2, 5, tzinfo=UTC)
    with running_sandbox(SandboxConfig(replay=real_data, now=now)) as sandbox:
        made = bench(sandbox, ("2161292",), now=lambda: now)
        days = Window.of_days(date(2024, 1, 29), date(2024, 2, 4))
        found = readings(made, made.good(days))
        [station] = made.client.stations().stations
        assert made.client.newest_hour() is None
    assert (station.name, station.country) == ("Số 46, phố Lưu Quang Vũ", "VN")
    assert set(found.select("station_id", "parameter", "unit_native", "sensor_id").rows()) == {
        ("2161292", "co", "µg/m³", "7772024")
    }
    assert len(found) == 100
    first = found.sort("hour").row(0, named=True)
    assert (first["hour"], first["value_native"]) == (datetime(2024, 1, 29, 15, tzinfo=UTC), 909.0)


def test_a_days_pull_without_the_chosen_sensor_does_not_outdo_the_spans(
    sandbox: RunningSandbox, bench: MakeBench, tmp_path: Path
) -> None:
    made = bench(sandbox)
    pulls = RawPullStore(LocalObjectStore(tmp_path / "objects"), "openaq")
    listed = [
        {"id": number, "parameter": {"name": "pm25", "units": units}}
        for number, units in ((51, "µg/m³"), (52, "ppm"))
    ]
    location = {"results": [{"id": 5, "sensors": listed}]}

    def told(sensor: int, window: Window, at: datetime) -> list[RawAnswer]:
        period = {"datetimeFrom": {"utc": "2025-06-10T04:00:00Z"}}
        period["datetimeTo"] = {"utc": "2025-06-10T05:00:00Z"}
        row = {"period": period, "parameter": listed[sensor - 51]["parameter"], "value": 7.0}
        bodies = {"/locations/5": location, f"/sensors/{sensor}/hours": {"results": [row]}}
        return [
            RawAnswer(path, {}, (window.start, window.end), at, 200, json.dumps(body))
            for path, body in bodies.items()
        ]

    span = Window.of_days(date(2025, 6, 9), date(2025, 6, 11))
    pulls.append([*told(51, span, NOW), *told(52, span, NOW)])
    pulls.append(told(52, JUNE_10, NOW + DAY))
    assert len(pulls.folders(JUNE_10)) == 2
    versions = VersionReader(pulls, made.client).read(JUNE_10)
    assert fold_versions(versions).select("sensor_id", "revision").rows() == [("51", 0)]


# ------------------------------------------------------------------------------------ area


@pytest.mark.parametrize(
    ("radius_km", "question", "expected"),
    [
        (10.0, "coordinates", {"2178"}),
        (25.0, "coordinates", {"2178"}),
        (26.0, "bbox", {"2178"}),
        # The corners of a square around half the way to Accra hold it, the circle does not.
        (9_000.0, "bbox", {"2178"}),
    ],
)
def test_stations_around_a_point(
    sandbox: RunningSandbox, bench: MakeBench, radius_km: float, question: str, expected: set[str]
) -> None:
    area = Area(latitude=35.1, longitude=-106.6, radius_km=radius_km)
    made = bench(sandbox, (), config={"area": area})
    found = made.client.stations()
    assert not found.failures
    assert {station.station_id for station in found.stations} == expected
    [request] = [r for r in sandbox.requests() if r.path == "/v3/locations"]
    assert question in httpx.QueryParams(request.query)
    answers = made.good(JUNE_10)
    assert len(answers) == 1 + MEASURED
    assert set(made.client.parse(answers).versions["station_id"]) == expected


def test_the_corners_of_an_area_are_no_part_of_it(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    # Accra lies 112 km from here, less to the east and less to the north.
    area = Area(latitude=4.9, longitude=-0.9, radius_km=100)
    made = bench(sandbox, (), config={"area": area})
    assert made.client.stations().stations == ()
    [request] = sandbox.requests()
    answer = httpx.get(
        f"{sandbox.url}{request.path}?{request.query}",
        headers={"X-API-Key": KEY},
        trust_env=False,
    )
    assert answer.json()["meta"]["found"] == 2
    [kept] = made.good(JUNE_10)
    assert made.client.parse([kept]).problems.total == 0


# -------------------------------------------------------------------------------- stations


def test_stations_are_described(sandbox: RunningSandbox, bench: MakeBench) -> None:
    found = bench(sandbox, ("2178", "7440")).client.stations()
    assert not found.failures
    by_id = {station.station_id: station for station in found.stations}
    del_norte = by_id["2178"]
    assert (del_norte.name, del_norte.city, del_norte.country) == ("Del Norte", "Albuquerque", "US")
    assert (del_norte.latitude, del_norte.longitude) == (35.1353, -106.584702)
    assert del_norte.timezone == "America/Denver"
    assert del_norte.parameters == ("co", "humidity", "no2", "pm10", "pm25", "temperature")
    assert del_norte.attribution == (
        "AirNow; Unknown Governmental Organization (US Public Domain); "
        "via OpenAQ (https://openaq.org)"
    )
    assert by_id["7440"].city is None
    assert "via OpenAQ" in by_id["7440"].attribution


def test_an_unknown_station_is_named_and_the_others_pulled(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178", "4711"))
    found = made.client.stations()
    assert [station.station_id for station in found.stations] == ["2178"]
    assert "knows no location '4711'" in found.failures["4711"].message
    assert "networks.openaq.stations" in found.failures["4711"].message
    pulls = made.pull(JUNE_10)
    failed = [pull for pull in pulls if pull.failure is not None]
    assert [pull.source for pull in failed] == ["4711"]
    assert failed[0].answer is not None
    assert len(pulls) == 2 + MEASURED


def test_a_station_that_is_no_number_is_refused(sandbox: RunningSandbox, bench: MakeBench) -> None:
    with pytest.raises(SettingsError, match="'Del Norte' is no id of an OpenAQ location"):
        bench(sandbox, ("Del Norte",))


# ----------------------------------------------------------------------------- newest hour


def test_the_newest_hour_takes_three_small_requests(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178", "8118", "7440", "900001"))
    assert made.client.newest_hour() == datetime(2025, 6, 18, 8, tzinfo=UTC)
    assert len(sandbox.requests()) == 3
    assert all(path.endswith("/latest") for path in paths(sandbox))
    assert made.got == []


def test_a_silent_network_has_no_newest_hour(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, now=lambda: NOW + DAY)
    assert made.client.newest_hour() is None


def test_an_area_has_a_newest_hour(sandbox: RunningSandbox, bench: MakeBench) -> None:
    area = Area(latitude=35.1, longitude=-106.6, radius_km=10)
    made = bench(sandbox, (), config={"area": area})
    assert made.client.newest_hour() == datetime(2025, 6, 18, 8, tzinfo=UTC)


def test_whom_nobody_answers_the_newest_hour_is_a_failure(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    sandbox.inject("status", status=503)
    with pytest.raises(TransientFailure, match="503"):
        bench(sandbox).client.newest_hour()


# ---------------------------------------------------------------------------- key and limits


def test_the_key_goes_in_a_header_and_nowhere_else(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox)
    pulls = made.pull(JUNE_10)
    assert {response.request.headers["X-API-Key"] for response in made.got} == {KEY}
    assert all(KEY not in repr(pull) for pull in pulls)
    assert KEY not in locations_file().read_text()


@pytest.mark.parametrize(
    ("key", "hint"),
    [("", "Set AQ_OPENAQ_API_KEY"), ("marked-secret", "Check AQ_OPENAQ_API_KEY")],
)
def test_a_refused_key_names_the_setting(
    sandbox: RunningSandbox, bench: MakeBench, key: str, hint: str
) -> None:
    made = bench(sandbox, ("2178",), AQ_OPENAQ_API_KEY=key)
    [pull] = made.pull(JUNE_10)
    assert isinstance(pull.failure, RefusedRequest)
    assert hint in pull.failure.message
    assert made.waits == []
    assert "marked-secret" not in repr(pull)


def test_a_key_with_a_line_end_is_sent_without(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, AQ_OPENAQ_API_KEY=f" {KEY}\n")
    made.good(JUNE_10)


@pytest.mark.parametrize("key", ["marked\nsecret", "märked-secret", "marked\x7fsecret"])
def test_a_key_that_cannot_be_sent_is_not_shown(
    sandbox: RunningSandbox, bench: MakeBench, key: str
) -> None:
    with pytest.raises(SettingsError, match=r"AQ_OPENAQ_API_KEY: .*holds characters") as error:
        bench(sandbox, AQ_OPENAQ_API_KEY=key)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (422, {"detail": [{"loc": ["query"], "msg": "not a time", "type": "x"}]}, "not a time"),
        (422, {"detail": "no such thing"}, "no such thing"),
        (422, "radius too large", "radius too large"),
        (422, "[{'loc': 'x', 'msg': 'bad'}]", "'msg': 'bad'"),
        (410, {"message": "Gone"}, "must end in /v3"),
        (403, {"message": "Forbidden"}, "blocked"),
    ],
)
def test_a_refusal_is_one_line_with_the_mend(status: int, body: object, said: str) -> None:
    request = httpx.Request("GET", "https://openaq.example/v3/sensors/1/hours")
    hint = refusal_hint(httpx.Response(status, json=body, request=request), with_key=True)
    assert said in hint
    assert "\n" not in hint


def test_429_is_waited_out_by_the_seconds_left(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, ("2178",), AQ_HTTP_ATTEMPTS="3")
    sandbox.set_answer("openaq/limit", "4")
    pulls = made.pull(JUNE_10)
    refused = [response for response in made.got if response.status_code == 429]
    assert refused
    left = [float(response.headers["x-ratelimit-reset"]) for response in refused]
    # A refusal while an earlier one is waited out waits for that one's end.
    assert set(left) & set(made.waits)
    assert max(left) <= max(made.waits)
    assert all(0 < seconds <= 60 for seconds in left)
    failures = [pull.failure for pull in pulls if pull.failure is not None]
    assert all(isinstance(failure, TransientFailure) for failure in failures)
    assert any("429" in failure.message for failure in failures)


@pytest.mark.parametrize("kind", ["html", "truncate", "empty", "disconnect"])
def test_a_broken_answer_at_one_sensor_is_tried_again(
    sandbox: RunningSandbox, bench: MakeBench, kind: str
) -> None:
    made = bench(sandbox, ("2178",))
    sandbox.inject(kind, path_contains="/21782/", times=2)
    assert len(made.good(JUNE_10)) == 1 + MEASURED
    assert len(made.waits) == 2


def test_a_sick_sensor_does_not_stop_the_others(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, ("2178",), AQ_HTTP_ATTEMPTS="2")
    sandbox.inject("status", status=500, path_contains="/21782/")
    pulls = made.pull(JUNE_10)
    [failed] = [pull for pull in pulls if pull.failure is not None]
    assert failed.source == "2178 co (sensor 21782)"
    assert isinstance(failed.failure, TransientFailure)
    parsed = made.client.parse(pull.answer for pull in pulls if pull.answer is not None)
    assert set(parsed.versions["parameter"].cast(pl.String)) == {
        *("pm25", "pm10", "no2", "temperature", "humidity")
    }


def test_a_permanent_failure_is_not_retried(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, ("4711",))
    [pull] = made.pull(JUNE_10)
    assert isinstance(pull.failure, PermanentFailure)
    assert len(sandbox.requests()) == 1


def test_the_hour_in_progress_comes_when_it_is_over(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178",))
    today = Window.of_days(NOW.date(), NOW.date())
    versions = made.client.parse(made.good(today)).versions
    assert versions["hour"].max() == NOW.replace(minute=0) - HOUR


# ------------------------------------------------------------------ the latest of many sensors

TODAY = Window.of_days(NOW.date(), NOW.date())


def test_an_hour_of_many_sensors_is_a_handful_of_requests(
    sandbox: RunningSandbox, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stations = ("2178", "8118", "7440", "900001", "900002")
    exact = bench(sandbox, stations)
    hourly = exact.client.parse(exact.good(TODAY)).versions
    sandbox.reset()
    monkeypatch.setattr(budget, "LATEST_FROM", 5 * MEASURED - 1)
    made = bench(sandbox, stations)
    answers = made.good(Window(TODAY.start - DAY, TODAY.end))
    # One for each parameter in each unit; the locations are known.
    assert sorted(paths(sandbox)) == sorted(
        f"/v3/parameters/{number}/latest" for number in (1, 2, 4, 7, 98, 100, 128)
    )
    assert {httpx.QueryParams(r.query)["datetime_min"] for r in sandbox.requests()} == {
        "2025-06-18T03:00:00Z"
    }
    parsed = made.client.parse(answers)
    assert not parsed.problems.total
    newest = hourly.filter(pl.col("hour") == pl.col("hour").max())
    found = parsed.versions.filter(pl.col("hour") == pl.col("hour").max())
    same = ["station_id", "parameter", "hour", "value_native", "unit_native", "sensor_id"]
    assert len(found) > 20
    assert found.select(same).sort(same[:2]).equals(newest.select(same).sort(same[:2]))


def test_hours_missed_since_the_last_refresh_are_asked_of_each_sensor(
    sandbox: RunningSandbox, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "LATEST_FROM", 2 * MEASURED - 1)
    monkeypatch.setattr(budget, "LATEST_PAGES", 1)
    now = [NOW]

    def refreshed(**settings: str) -> tuple[set[datetime], bool]:
        """The hours that another process's refresh brings, and whether it asked the sensors."""
        sandbox.reset()
        sandbox.set_clock(now[0])
        made = bench(sandbox, now=lambda: now[0], **settings)
        found = readings(made, made.good(TODAY))
        assert sum(path.endswith("/latest") for path in paths(sandbox)) == 6
        # Delhi's hours end half an hour later.
        hours = found["hour"].filter(found["hour"].dt.minute() == 0)
        return set(hours), bool(hours_asked(sandbox))

    first = NOW.replace(minute=0) - HOUR
    assert refreshed() == ({first}, False)
    now[0] = NOW + HOUR
    assert refreshed() == ({first + HOUR}, False)
    # Down for three hours: those between are brought as well.
    now[0] = NOW + 4 * HOUR
    hours, asked = refreshed()
    assert asked
    assert {first + n * HOUR for n in range(5)} <= hours
    now[0] = NOW + 5 * HOUR
    assert refreshed() == ({first + 5 * HOUR}, False)
    # More than half an hour's limit is left to the days' next pull.
    now[0] = NOW + 8 * HOUR
    assert refreshed(AQ_OPENAQ_REQUESTS_PER_HOUR="23") == ({first + 8 * HOUR}, False)


def test_days_that_are_over_are_asked_for_sensor_by_sensor(
    sandbox: RunningSandbox, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "LATEST_FROM", 1)
    made = bench(sandbox, ("2178",))
    made.good(JUNE_10)
    made.good(Window(NOW.replace(hour=0, minute=0) - 10 * DAY, TODAY.end))
    assert not [path for path in paths(sandbox) if path.endswith("/latest")]


# --------------------------------------------------------------------------- a day's requests


@pytest.mark.parametrize(
    ("sensors", "parameters", "stations", "revisits", "needed"),
    [
        (12, 6, 2, 4, 24 * (12 + 3) + 2 + 48),
        (100, 6, 20, 0, 24 * (100 + 3) + 20),
        # As many as the limit takes: refreshes by parameter, revisits by sensor.
        (5_000, 7, 900, 4, 24 * (175 + 3) + 900 + 20_000),
    ],
)
def test_requests_of_a_day(
    sensors: int, parameters: int, stations: int, revisits: int, needed: int
) -> None:
    assert budget.requests_a_day(sensors, parameters, stations, revisits) == needed
    assert needed <= 48_000


def test_what_does_not_fit_into_a_day_is_refused_before_it_starts(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, AQ_OPENAQ_REQUESTS_PER_HOUR="10")
    with pytest.raises(
        PermanentFailure, match=r"12 sensors at 2 locations take about 410 requests"
    ):
        made.pull(JUNE_10)
    assert all("/sensors/" not in path for path in paths(sandbox))


# ------------------------------------------------------------------------------ broken sensors


def test_a_sensor_that_fails_every_time_is_set_aside_and_reported(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    now = [NOW]
    sandbox.inject("status", status=500, path_contains="/21782/")

    def pull() -> tuple[Pull, int]:
        """The failed pull, and how often its sensor was asked for."""
        before = len(sandbox.requests())
        made = bench(sandbox, ("2178",), now=lambda: now[0], AQ_HTTP_ATTEMPTS="2")
        [failed] = [pull for pull in made.pull(JUNE_10) if pull.failure is not None]
        return failed, sum("/21782/" in r.path for r in sandbox.requests()[before:])

    for hours in (0, 1, 2):
        now[0] = NOW + hours * HOUR
        failed, asked = pull()
        assert isinstance(failed.failure, TransientFailure)
        assert asked == 2
    now[0] = NOW + 3 * HOUR
    failed, asked = pull()
    assert isinstance(failed.failure, PermanentFailure)
    assert "sensor 21782 every time: it is set aside" in failed.failure.message
    assert "2025-06-19 11:20Z" in failed.failure.message
    assert failed.source == "2178 co (sensor 21782)"
    assert asked == 0
    # After a day it is asked for again, and welcome once it answers.
    now[0] = NOW + 27 * HOUR
    failed, asked = pull()
    assert isinstance(failed.failure, TransientFailure)
    now[0] += timedelta(hours=25)
    sandbox.clear()
    made = bench(sandbox, ("2178",), now=lambda: now[0])
    assert len(made.good(JUNE_10)) == 1 + MEASURED
    assert made.client._broken.known() == {}


def test_an_ill_network_sets_no_sensor_aside(sandbox: RunningSandbox, bench: MakeBench) -> None:
    now = [NOW]
    made = bench(sandbox, ("2178",), now=lambda: now[0], AQ_HTTP_ATTEMPTS="1")
    made.good(JUNE_10)
    sandbox.inject("status", status=500, path_contains="/sensors/")
    for hours in range(5):
        now[0] = NOW + hours * HOUR
        assert sum(pull.failure is not None for pull in made.pull(JUNE_10)) == MEASURED
    sandbox.clear()
    assert len(made.good(JUNE_10)) == 1 + MEASURED


# -------------------------------------------------------------------------------- the archive

WEEKS = Window.of_days(date(2025, 6, 1), date(2025, 6, 17))
ALL = ("2178", "8118", "7440", "900001")


def archive(sandbox: RunningSandbox) -> dict[str, str]:
    return {"AQ_OPENAQ_ARCHIVE": sandbox.environment["AQ_OPENAQ_ARCHIVE"]}


def readings(made: Bench, answers: list[RawAnswer]) -> pl.DataFrame:
    parsed = made.client.parse(answers)
    assert not parsed.problems.total
    columns = ["station_id", "parameter", "hour", "value_native", "unit_native", "sensor_id"]
    return parsed.versions.select(columns).sort(columns[:3])


def test_archive_and_interface_meet_without_gap_or_double(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ALL)
    by_interface = readings(made, made.good(WEEKS))
    sandbox.reset()
    made = bench(sandbox, ALL, **archive(sandbox))
    joined = readings(made, made.good(WEEKS))
    assert joined.equals(by_interface)
    assert len(joined) > 17 * 20 * MEASURED * 3
    assert joined.select("station_id", "parameter", "hour").is_unique().all()
    # Each station's local midnight, 78 hours ago at least; from there on the interface.
    seams = {
        path.split("/")[3][:-1]: query["datetime_from"]
        for path, query in zip(
            [path for path in paths(sandbox) if path.endswith("/hours")],
            hours_asked(sandbox),
            strict=True,
        )
    }
    assert seams == {
        "2178": "2025-06-14T06:00:00Z",
        "8118": "2025-06-14T18:30:00Z",
        "7440": "2025-06-14T17:00:00Z",
        "900001": "2025-06-15T00:00:00Z",
    }
    # A file a day and station; one more where the first local day began before the window.
    files = [path for path in paths(sandbox) if path.endswith(".csv.gz")]
    assert len(files) == len(set(files)) == 14 + 14 + 14 + 14


def test_the_archive_is_asked_without_a_key(sandbox: RunningSandbox, bench: MakeBench) -> None:
    made = bench(sandbox, **archive(sandbox))
    assert made.client._archive is not None
    sent: list[httpx.Request] = []
    made.client._archive.http._client.event_hooks["request"].append(sent.append)
    made.good(JUNE_10)
    # The local days over one UTC day are two.
    assert len(sent) == 2 * len(STATIONS)
    assert all("X-API-Key" not in request.headers for request in sent)
    assert hours_asked(sandbox) == []


def test_years_come_without_a_key(sandbox: RunningSandbox, bench: MakeBench) -> None:
    months = Window.of_days(date(2024, 12, 18), date(2025, 1, 14))
    made = bench(sandbox, AQ_OPENAQ_API_KEY="", **archive(sandbox))
    found = readings(made, made.good(months))
    assert {path.split("/")[1] for path in paths(sandbox)} == {"openaq-archive"}
    with_key = bench(sandbox, AQ_OPENAQ_API_KEY=KEY)
    assert found.equals(readings(with_key, with_key.good(months)))


def test_without_a_key_the_last_days_are_missed_and_said_to_be(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, AQ_OPENAQ_API_KEY="", **archive(sandbox))
    pulls = made.pull(Window.of_days(date(2025, 6, 10), NOW.date()))
    failures = {pull.source: pull.failure for pull in pulls if pull.failure is not None}
    assert failures.keys() == set(STATIONS)
    assert all(isinstance(failure, PermanentFailure) for failure in failures.values())
    assert "Set AQ_OPENAQ_API_KEY" in failures["2178"].message
    assert any(pull.answer is not None for pull in pulls)


def test_an_area_wants_a_key(sandbox: RunningSandbox, bench: MakeBench) -> None:
    area = Area(latitude=35.1, longitude=-106.6, radius_km=10)
    with pytest.raises(SettingsError, match=r"an area cannot be listed\. Set AQ_OPENAQ_API_KEY"):
        bench(sandbox, (), config={"area": area}, AQ_OPENAQ_API_KEY="", **archive(sandbox))


def test_without_a_key_stations_are_what_the_files_say(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178", "4711"), AQ_OPENAQ_API_KEY="", **archive(sandbox))
    found = made.client.stations()
    [station] = found.stations
    assert (station.station_id, station.name) == ("2178", "Del Norte")
    assert (station.latitude, station.longitude) == (35.1353, -106.584702)
    assert station.parameters == ("co", "humidity", "no2", "pm10", "pm25", "temperature")
    assert "OpenAQ" in station.attribution
    assert "no file of location 4711" in found.failures["4711"].message


def test_a_late_file_is_made_up_for_by_the_interface(
    sandbox: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(sandbox, ("2178",))
    whole = readings(made, made.good(WEEKS))
    sandbox.reset()
    sandbox.inject("status", status=404, path_contains="location-2178-20250612")
    sandbox.inject("status", status=404, path_contains="location-2178-20250605")
    made = bench(sandbox, ("2178",), **archive(sandbox))
    answers = made.good(WEEKS)
    assert {query["datetime_from"] for query in hours_asked(sandbox)} == {"2025-06-12T06:00:00Z"}
    found = made.client.parse(answers).versions
    keys = ["station_id", "parameter", "hour"]
    # What has been missing for longer is a day without data.
    gone = pl.col("hour").is_between(
        datetime(2025, 6, 5, 6, tzinfo=UTC), datetime(2025, 6, 6, 6, tzinfo=UTC), closed="left"
    )
    expected = whole.filter(~gone).select(keys)
    assert found.select(keys).unique().sort(keys).equals(expected.sort(keys))


def test_a_folder_with_the_same_layout_will_do(
    sandbox: RunningSandbox, bench: MakeBench, tmp_path: Path
) -> None:
    made = bench(sandbox, **archive(sandbox))
    expected = readings(made, made.good(JUNE_10))
    folder = tmp_path / "a copy"
    for path in [path for path in paths(sandbox) if path.endswith(".csv.gz")]:
        local = folder / path.removeprefix("/openaq-archive/")
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(httpx.get(sandbox.url + path, trust_env=False).content)
    for address in (str(folder), folder.as_uri()):
        sandbox.reset()
        made = bench(sandbox, AQ_OPENAQ_ARCHIVE=address)
        assert readings(made, made.good(JUNE_10)).equals(expected)
        assert not [path for path in paths(sandbox) if path.endswith(".csv.gz")]


def copied(sandbox: RunningSandbox, s3: S3Server, bucket: str) -> str:
    """Address of a bucket with every file that the sandbox's archive was asked for."""
    with closing(s3.client()) as client:
        for path in [path for path in paths(sandbox) if path.endswith(".csv.gz")]:
            content = httpx.get(sandbox.url + path, trust_env=False).content
            key = path.removeprefix("/openaq-archive/")
            client.put_object(Bucket=bucket, Key=key, Body=content)
    return f"{s3.endpoint_url}/{bucket}"


def test_a_public_bucket_is_read_without_our_stores_credentials(
    sandbox: RunningSandbox, bench: MakeBench, s3: S3Server, s3_bucket: str
) -> None:
    made = bench(sandbox, **archive(sandbox))
    expected = readings(made, made.good(JUNE_10))
    address = copied(sandbox, s3, s3.create_bucket(f"{s3_bucket}-public", public=True))
    made = bench(sandbox, AQ_OPENAQ_ARCHIVE=address)
    assert made.client._archive is not None
    sent: list[httpx.Request] = []
    made.client._archive.http._client.event_hooks["request"].append(sent.append)
    assert readings(made, made.good(JUNE_10)).equals(expected)
    assert len(sent) == 2 * len(STATIONS)
    for request in sent:
        assert "Authorization" not in request.headers
        assert s3.access_key not in repr(request.headers.raw) + str(request.url)


def test_a_bucket_that_is_not_public_is_named_with_what_to_do(
    sandbox: RunningSandbox, bench: MakeBench, s3: S3Server, s3_bucket: str
) -> None:
    made = bench(sandbox, ("2178",), AQ_OPENAQ_ARCHIVE=f"{s3.endpoint_url}/{s3_bucket}")
    failures = [pull.failure for pull in made.pull(JUNE_10) if pull.failure is not None]
    assert len(failures) == 2
    assert all(isinstance(failure, PermanentFailure) for failure in failures)
    assert "answered 403" in failures[0].message
    assert "make the bucket public" in failures[0].message


@pytest.mark.parametrize("body", ["location_id,value\r\n", "a,b\r\n1,2\r\n"])
def test_without_a_key_a_file_that_says_nothing_is_passed_over(
    sandbox: RunningSandbox, bench: MakeBench, tmp_path: Path, body: str
) -> None:
    made = bench(sandbox, ("2178",), AQ_OPENAQ_API_KEY="", AQ_OPENAQ_ARCHIVE=str(tmp_path))
    path = "records/csv.gz/locationid=2178/year=2025/month=06/location-2178-20250614.csv.gz"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(body)
    assert "no file of location 2178" in made.client.stations().failures["2178"].message


@pytest.mark.parametrize("kind", ["truncate", "html", "empty", "disconnect"])
def test_a_broken_file_is_reported_and_the_others_taken(
    sandbox: RunningSandbox, bench: MakeBench, kind: str
) -> None:
    made = bench(sandbox, AQ_HTTP_ATTEMPTS="1", **archive(sandbox))
    sandbox.inject(kind, path_contains="location-2178-20250610")
    pulls = made.pull(JUNE_10)
    [failed] = [pull for pull in pulls if pull.failure is not None]
    assert failed.source == "2178 archive 2025-06-10"
    assert isinstance(failed.failure, TransientFailure)
    assert len(pulls) == len(STATIONS) * 3


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("s3://openaq-data-archive", "https://openaq-data-archive.s3.amazonaws.com/"),
        ("s3://copy/of/it", "https://copy.s3.amazonaws.com/of/it"),
        ("http://127.0.0.1:9000/bucket", "http://127.0.0.1:9000/bucket"),
        ("/data/archive", "file:///data/archive"),
    ],
)
def test_addresses_of_the_archive(address: str, url: str) -> None:
    assert archive_url(address) == url


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("UTC", [(10, 0, 24)]),
        ("America/Denver", [(9, -18, 6), (10, 6, 30)]),
        ("Asia/Ho_Chi_Minh", [(10, -7, 17), (11, 17, 41)]),
        (None, [(9, -38, 12), (10, -14, 36), (11, 10, 60)]),
        ("Not/AZone", [(9, -38, 12), (10, -14, 36), (11, 10, 60)]),
    ],
)
def test_local_days_over_a_day(zone: str | None, days: list[tuple[int, int, int]]) -> None:
    assert list(local_days(JUNE_10, zone)) == [
        (date(2025, 6, day), JUNE_10.start + start * HOUR, JUNE_10.start + end * HOUR)
        for day, start, end in days
    ]


def test_days_of_23_and_25_hours() -> None:
    march = Window.of_days(date(2025, 3, 9), date(2025, 3, 9))
    lengths = {day: end - start for day, start, end in local_days(march, "America/Denver")}
    assert lengths == {date(2025, 3, 8): DAY, date(2025, 3, 9): 23 * HOUR}
