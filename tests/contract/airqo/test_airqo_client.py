"""AirQo's client against a server that speaks the contract, quirks and bad days included."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest
from starlette.responses import JSONResponse

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http.client import BrokenAnswer
from aq_resources.network_client import Pull
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client, known_networks, network_title
from aq_resources.networks.airqo import AirQoClient
from aq_resources.networks.airqo import client as airqo_client
from aq_resources.networks.airqo.bodies import DOWNLOAD, MEASUREMENTS
from aq_resources.settings import Settings
from aq_sandbox.networks import airqo as sandbox_airqo
from aq_sandbox.networks.airqo import COHORT, GRID, device_id, device_name, site_id
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.versions import fold_versions
from aq_science.windows import DAY, Window
from tests.contract.conftest import time_limit

NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
NEWEST = datetime(2025, 6, 18, 7, tzinfo=UTC)  # published an hour and a half after it began
COUNT = 9
DEVICES = tuple(device_name(number) for number in range(COUNT))
EVERYTHING = f"cohort:{COHORT}"
JUNE_17 = Window.of_days(date(2025, 6, 17), date(2025, 6, 17))
TWO_DAYS = Window.of_days(date(2025, 6, 15), date(2025, 6, 16))
WEEK = Window.of_days(date(2025, 6, 12), date(2025, 6, 18))
NEW_YEAR = Window.of_days(date(2025, 1, 1), date(2025, 1, 2))
JANUARY = Window.of_days(date(2025, 1, 1), date(2025, 1, 31))

Make = Callable[..., AirQoClient]


@pytest.fixture(scope="module")
def _server() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(stations=COUNT, now=NOW)) as sandbox:
        yield sandbox


@pytest.fixture
def airqo(_server: RunningSandbox) -> RunningSandbox:
    _server.reset()
    return _server


@pytest.fixture
def make(
    clean_environment: None, airqo: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Makes clients of the sandbox; keyword arguments are settings (`AQ_…`)."""
    with ExitStack() as stack:

        def made(
            *stations: str, config: dict[str, Any] | None = None, **settings: str
        ) -> AirQoClient:
            environment = {**airqo.environment, "AQ_HOME": str(tmp_path / "home"), **settings}
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            entry = NetworkConfig(
                name="airqo",
                start_date=date(2020, 1, 1),
                stations=stations or (EVERYTHING,),
                **(config or {}),
            )
            client = create_client(entry, Settings(), lambda: NOW)
            assert isinstance(client, AirQoClient)
            stack.callback(client.close)
            for http in (client._api.http, client._api.download_http):
                http._retrying.sleep = lambda seconds: None
            return client

        yield made


def sound(pulls: list[Pull]) -> list[Pull]:
    assert [pull.failure for pull in pulls if pull.failure] == []
    return pulls


def readings(client: AirQoClient, pulls: list[Pull]) -> pl.DataFrame:
    parsed = client.parse(pull.answer for pull in pulls if pull.answer is not None)
    assert parsed.problems.total == 0
    return parsed.versions.unique(["station_id", "parameter", "hour"])


def published(window: Window, devices: tuple[str, ...] = DEVICES) -> set[tuple[str, str, float]]:
    """PM2.5 that the sandbox has to show of a window."""
    rows = sandbox_airqo._records(devices, window.start, window.end, 1, NOW)
    end = f"{window.end:%Y-%m-%d %H:%M:%SZ}"
    return {(r["device_name"], r["datetime"], r["pm2_5"]) for r in rows if r["datetime"] < end}


def pm25(frame: pl.DataFrame) -> set[tuple[str, str, float]]:
    rows = frame.filter(pl.col("parameter") == "pm25").select(
        pl.col("station_id").cast(pl.String), "hour", "value_native"
    )
    return {(s, f"{hour:%Y-%m-%d %H:%M:%SZ}", value) for s, hour, value in rows.iter_rows()}


def paths(airqo: RunningSandbox) -> list[str]:
    return [request.path for request in airqo.requests()]


# ------------------------------------------------------------------------------------- pulls


def test_the_network_is_found_by_its_module() -> None:
    assert "airqo" in known_networks()
    assert network_title("airqo") == "AirQo"


@pytest.mark.parametrize(
    ("entry", "path", "devices"),
    [
        (EVERYTHING, f"cohorts/{COHORT}", DEVICES),
        (f"grid:{GRID}", f"grids/{GRID}", DEVICES),
        (f"site:{site_id(DEVICES[2])}", f"sites/{site_id(DEVICES[2])}", DEVICES[2:3]),
        (DEVICES[1], f"devices/{device_id(DEVICES[1])}", DEVICES[1:2]),
    ],
    ids=["cohort", "grid", "site", "device"],
)
def test_recent_and_old_readings_of_every_kind_of_entry(
    airqo: RunningSandbox, make: Make, entry: str, path: str, devices: tuple[str, ...]
) -> None:
    client = make(entry)
    pulls = sound(list(client.pull(JUNE_17)))
    assert paths(airqo)[-1] == f"{MEASUREMENTS}/{path}"
    assert DOWNLOAD not in paths(airqo)
    assert pm25(readings(client, pulls)) == published(JUNE_17, devices)
    airqo.reset()
    pulls = sound(list(client.pull(JANUARY)))
    assert set(paths(airqo)) <= {DOWNLOAD, *(p for p in paths(airqo) if "measurements" not in p)}
    assert paths(airqo).count(DOWNLOAD) == -(-len(rows_of(JANUARY, devices)) // 2000)
    assert pm25(readings(client, pulls)) == published(JANUARY, devices)


def rows_of(window: Window, devices: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    end = window.end - timedelta(seconds=1)
    return sandbox_airqo._records(devices, window.start, end, 1, NOW)


def test_at_the_seam_between_both_interfaces_nothing_is_missing_or_asked_twice(
    airqo: RunningSandbox, make: Make
) -> None:
    client = make()
    window = Window.of_days(date(2025, 6, 1), date(2025, 6, 18))
    pulls = sound(list(client.pull(window)))
    windows = sorted({pull.answer.window for pull in pulls if pull.answer})
    assert [(f"{start:%d}", f"{end:%d}") for start, end in windows] == [("01", "12"), ("12", "19")]
    assert pm25(readings(client, pulls)) == published(window)
    # Never further back than the measurements answer.
    for request in airqo.requests():
        if "startTime" in (query := httpx.QueryParams(request.query)):
            assert datetime.fromisoformat(query["startTime"]) > NOW - timedelta(days=7)


def test_nothing_older_than_31_days_is_asked_of_the_measurements(
    airqo: RunningSandbox, make: Make
) -> None:
    """They refuse it; the sandbox does as well."""
    client = make(DEVICES[0])
    window = Window.of_days(date(2025, 4, 1), date(2025, 6, 18))
    pulls = sound(list(client.pull(window)))
    assert pm25(readings(client, pulls)) == published(window, DEVICES[:1])
    asked = [httpx.QueryParams(request.query).get("startTime") for request in airqo.requests()]
    assert min(filter(None, asked)) == "2025-06-12T00:00:00.000Z"


def test_two_months_a_call_at_most(airqo: RunningSandbox, make: Make) -> None:
    client = make(DEVICES[0])
    window = Window.of_days(date(2024, 1, 1), date(2024, 12, 31))
    pulls = sound(list(client.pull(window)))
    lengths = [end - start for start, end in (p.answer.window for p in pulls if p.answer)]
    assert max(lengths) <= timedelta(days=59)
    assert len(pulls) == 7
    assert pm25(readings(client, pulls)) == published(window, DEVICES[:1])


@pytest.mark.parametrize("says", ["meta", "nothing"])
@pytest.mark.parametrize("page", [30, 80, 300, 1000])
def test_no_cap_cuts_a_window_whatever_the_page_and_whether_it_is_stated(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch, page: int, says: str
) -> None:
    monkeypatch.setattr(sandbox_airqo, "PAGE", page)
    if says == "nothing":
        monkeypatch.setattr(sandbox_airqo, "_page", page_without_meta)
    client = make()
    window = more_than(page)
    pulls = sound(list(client.pull(window)))
    expected = published(window)
    assert len(expected) > page
    assert pm25(readings(client, pulls)) == expected
    full, rest = divmod(len(rows_of(window, DEVICES)), page)
    assert len(pulls) == full + (1 if rest else 0) + (says == "nothing" or not rest)


def more_than(page: int) -> Window:
    """A window of several pages, or of two large ones."""
    return TWO_DAYS if page <= 300 else WEEK


def page_without_meta(
    request: httpx.Request, records: list[Any], start: datetime, end: datetime
) -> Any:
    """The older interface: a cap, and no word of it."""
    skip = int(request.query_params.get("skip", 0))  # type: ignore[attr-defined]
    body = {"success": True, "measurements": records[skip : skip + sandbox_airqo.PAGE]}
    return JSONResponse(body)


@pytest.mark.parametrize("page", [30, 80, 100, 300, 1000])
@pytest.mark.parametrize("says", ["all", "more room"])
def test_a_page_at_the_cap_is_followed_by_the_next_whatever_is_said(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch, page: int, says: str
) -> None:
    """Every page says that it was all there is, and that it had room for more."""

    def untrue(total: int, skip: int, limit: int) -> dict[str, object]:
        seen = min(total, skip + limit)
        return {"total": seen, "limit": limit if says == "all" else 5000, "pages": 1}

    monkeypatch.setattr(sandbox_airqo, "PAGE", page)
    monkeypatch.setattr(sandbox_airqo, "_meta", untrue)
    window = more_than(page)
    pulls = sound(list(make().pull(window)))
    assert len(pulls) > 1
    assert pm25(readings(make(), pulls)) == published(window)


def test_a_month_beyond_every_cap_arrives_whole_by_the_download(
    airqo: RunningSandbox, make: Make
) -> None:
    client = make()
    pulls = sound(list(client.pull(JANUARY)))
    expected = published(JANUARY)
    assert len(expected) > 5000
    assert pm25(readings(client, pulls)) == expected
    assert len({(p.answer.url, *p.answer.params.items()) for p in pulls if p.answer}) == len(pulls)


def test_a_month_beyond_every_cap_arrives_whole_by_the_measurements(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airqo_client, "RECENT_DAYS", 31)
    monkeypatch.setattr(sandbox_airqo, "PAGE", 1000)
    client = make()
    month = Window.of_days(date(2025, 5, 19), date(2025, 6, 17))
    pulls = sound(list(client.pull(month)))
    expected = published(month)
    assert len(expected) > 5000
    assert pm25(readings(client, pulls)) == expected
    assert DOWNLOAD not in paths(airqo)
    assert len(pulls) == -(-len(rows_of(month, DEVICES)) // 1000)


@pytest.mark.parametrize("cap", [1000, 2000])
@pytest.mark.parametrize("says", ["all", "nothing"])
def test_a_download_at_the_cap_without_a_cursor_is_asked_for_in_halves(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch, cap: int, says: str
) -> None:
    def cut(rows: tuple[dict[str, Any], ...], _: int) -> Any:
        page = rows[:cap]
        state = {"metadata": {"total_count": len(page), "has_more": False, "next": None}}
        body = {"status": "success", "data": page, **(state if says == "all" else {})}
        return JSONResponse(body)

    monkeypatch.setattr(sandbox_airqo, "_download_page", cut)
    client = make()
    pulls = sound(list(client.pull(JANUARY)))
    assert pm25(readings(client, pulls)) == published(JANUARY)
    assert len({(p.answer.url, *p.answer.params.items()) for p in pulls if p.answer}) == len(pulls)


def test_a_download_that_is_always_full_ends_with_a_reason(
    airqo: RunningSandbox, make: Make
) -> None:
    rows = list(rows_of(JANUARY, DEVICES)[:1000])
    airqo.set_answer("download", json.dumps({"status": "success", "data": rows}))
    pulls = list(make().pull(JANUARY))
    failures = [pull.failure for pull in pulls if pull.failure]
    assert len(pulls) < 40
    assert all(isinstance(failure, TransientFailure) for failure in failures)
    assert "without a way to the others" in str(failures[0])
    airqo.set_answer("download", json.dumps({"status": "success", "data": rows[:999]}))
    [pull] = make().pull(JANUARY)
    assert pull.failure is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"measurements": [], "meta": {"total": 5, "limit": 80}}, "0 of 5 records"),
        ({"measurements": [{"device": "aq_1"}]}, "the same page twice"),
    ],
)
def test_paging_that_goes_nowhere_ends_with_a_reason(
    airqo: RunningSandbox, make: Make, body: dict[str, Any], said: str
) -> None:
    airqo.set_answer(COHORT, json.dumps({"success": True, **body}))
    pulls = list(make().pull(JUNE_17))
    assert said in str(pulls[-1].failure.message if pulls[-1].failure else None)


@pytest.mark.parametrize(("more", "cursor"), [(True, "again"), (False, "again"), (True, None)])
def test_a_cursor_that_goes_nowhere_ends_with_a_reason(
    airqo: RunningSandbox, make: Make, more: bool, cursor: str | None
) -> None:
    state = {"has_more": more, "next": cursor}
    body = {"status": "success", "data": [{"device_name": "x"}], "metadata": state}
    airqo.set_answer("download", json.dumps(body))
    pulls = list(make().pull(JANUARY))
    assert len(pulls) <= 2
    assert "more records without a way" in str(pulls[-1].failure and pulls[-1].failure.message)


def test_what_is_asked_is_kept_without_secrets(airqo: RunningSandbox, make: Make) -> None:
    client = make(config={"span_days": 10})
    for pull in sound(list(client.pull(Window.of_days(date(2025, 5, 1), date(2025, 6, 18))))):
        assert pull.answer is not None
        assert sandbox_airqo.TOKEN not in repr(pull)
        assert pull.answer.covers.end - pull.answer.covers.start <= 10 * DAY
    # The token did travel.
    assert all("token=" in request.query for request in airqo.requests())


# ------------------------------------------------------------------------------------ replay


YAOUNDE = "6981ab03fcc8e8001510aedf"


def replayed(client: AirQoClient, folder: Path, now: datetime, *days: date) -> list[Pull]:
    """What `client` pulls of the days from a sandbox that replays `folder`."""
    with running_sandbox(SandboxConfig(replay=folder, now=now)) as recorded:
        client._api.url = recorded.url
        client._now = client._api._now = lambda: now
        return sound(list(client.pull(Window.of_days(*days))))


def test_recorded_measurements_come_through_page_by_page(make: Make, real_data: Path) -> None:
    client = make(f"grid:{GRID}")
    now = datetime(2024, 8, 12, 12, tzinfo=UTC)
    pulls = replayed(client, real_data, now, date(2024, 8, 6), date(2024, 8, 12))
    # 180 records in pages of 80; one lies before the week.
    assert len(pulls) == 3
    found = pm25(readings(client, pulls))
    assert len(found) == 179
    assert ("aq_52", "2024-08-12 10:00:00Z", 13.27140000000002) in found


def test_a_recorded_download_fetched_twice_gives_the_cohorts_mean_and_the_revisions(
    make: Make, real_data: Path, tmp_path: Path
) -> None:
    """AirQo's own mean of that hour, 39.34, counts three of its four devices twice."""
    yaounde, everything = make(f"cohort:{YAOUNDE}"), make(f"grid:{GRID}")
    versions = []
    # More than a week later, so that every day comes by the download.
    for name, now in (
        ("analytics_fetch1", datetime(2026, 3, 1, tzinfo=UTC)),
        ("analytics_fetch2", datetime(2026, 3, 6, 15, tzinfo=UTC)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.json").symlink_to(real_data / "airqo" / f"{name}.json")
        pulls = replayed(everything, folder, now, date(2026, 2, 10), date(2026, 2, 22))
        versions.append(everything.parse(pull.answer for pull in pulls if pull.answer).versions)
        hour = readings(
            yaounde, replayed(yaounde, folder, now, date(2026, 2, 18), date(2026, 2, 18))
        ).filter(parameter="pm25", hour=datetime(2026, 2, 18, 19, tzinfo=UTC))
        assert len(hour) == 4
        assert hour["value_native"].mean() == pytest.approx(42.8425, abs=1e-9)
    folded = fold_versions(pl.concat(versions)).filter(parameter="pm25")
    assert len(folded) == 1418
    assert Counter(folded["revision"]) == {0: 1387, 1: 31}


# ------------------------------------------------------------------------------- newest hour


@pytest.mark.parametrize(
    ("entries", "requests"), [((EVERYTHING,), 1), (DEVICES[:1], 2), (DEVICES, 4)]
)
def test_the_newest_hour_is_cheap(
    airqo: RunningSandbox, make: Make, entries: tuple[str, ...], requests: int
) -> None:
    client = make(*entries)
    assert client.newest_hour() == NEWEST
    assert len(airqo.requests()) == requests
    assert client.newest_hour() == NEWEST
    # The list of devices is asked for once.
    assert len(airqo.requests()) == 2 * requests - (entries[0] != EVERYTHING)


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_hour_is_found_however_the_records_are_sorted(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    monkeypatch.setattr(sandbox_airqo, "PAGE", 10)
    true_page = sandbox_airqo._page
    monkeypatch.setattr(
        sandbox_airqo,
        "_page",
        lambda request, records, *rest: true_page(request, records[::order], *rest),
    )
    assert make().newest_hour() == NEWEST
    assert len(airqo.requests()) == 2


def test_a_silent_cohort_in_a_network_that_speaks_has_no_newest_hour(
    airqo: RunningSandbox, make: Make
) -> None:
    airqo.set_answer(COHORT, '{"success": true, "measurements": []}')
    assert make().newest_hour() is None


def test_a_sick_network_says_why(airqo: RunningSandbox, make: Make) -> None:
    airqo.inject("status", status=500)
    with pytest.raises(TransientFailure, match="answered 500"):
        make().newest_hour()
    assert len(airqo.requests()) == 1


# ---------------------------------------------------------------------------- nothing at all

NOTHING = '{"success": true, "message": "ok", "measurements": [], "data": []}'


def test_nothing_for_an_address_that_is_not_white_listed_is_told_from_no_data(
    airqo: RunningSandbox, make: Make
) -> None:
    client = make()
    airqo.set_answer(COHORT, NOTHING)
    [pull] = sound(list(client.pull(JUNE_17)))
    assert pull.answer is not None
    airqo.inject("body", body=NOTHING, path_contains="/measurements")
    [pull] = client.pull(JUNE_17)
    assert isinstance(pull.failure, PermanentFailure)
    assert "not white-listed" in pull.failure.message
    with pytest.raises(PermanentFailure, match="not white-listed"):
        client.newest_hour()


def test_an_old_window_without_records_is_no_failure(airqo: RunningSandbox, make: Make) -> None:
    airqo.inject(
        "body",
        body='{"status": "error", "message": "No data found", "code": "NOT_FOUND"}',
        path_contains=DOWNLOAD,
    )
    client = make()
    [pull] = sound(list(client.pull(JANUARY)))
    assert pull.answer is not None
    assert client.parse([pull.answer]).versions.is_empty()
    # Many silent windows are one question whether the network speaks.
    year = Window.of_days(date(2024, 1, 1), date(2024, 12, 31))
    airqo.requests()
    sound(list(client.pull(year)))
    assert paths(airqo).count(f"{MEASUREMENTS}/recent") == 2


# ----------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"success": False, "message": "Invalid authentication", "error": "Unauthorized"}, 401,
         "AQ_AIRQO_TOKEN"),
        ({"success": False, "message": "Standard Tier", "error": "Forbidden", "upgrade_url": "x"},
         403, "subscription"),
        ({"status": "error", "message": "no such cohort", "code": "NOT_FOUND"}, 404,
         "correct networks.airqo.stations"),
        ({"success": False, "message": "Query too old", "errors": {"oldest_supported": "x"}}, 400,
         "31 days"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_mend_whatever_its_status(
    airqo: RunningSandbox, make: Make, body: dict[str, Any], status: int, said: str
) -> None:
    airqo.inject("body", body=json.dumps(body), path_contains=COHORT)
    [pull] = make().pull(JUNE_17)
    assert isinstance(pull.failure, PermanentFailure)
    assert said in pull.failure.message
    assert body["message"] in pull.failure.message
    assert pull.answer is not None
    # A permanent failure is not asked again.
    assert len(airqo.requests()) == 1


def test_a_wrong_token_and_none(airqo: RunningSandbox, make: Make) -> None:
    [pull] = make(AQ_AIRQO_TOKEN="expired").pull(JUNE_17)
    assert isinstance(pull.failure, PermanentFailure)
    assert "answered 401" in pull.failure.message
    assert "AQ_AIRQO_TOKEN" in pull.failure.message
    airqo.reset()
    [pull] = make(AQ_AIRQO_TOKEN="").pull(JUNE_17)
    assert pull.failure is not None
    assert "set AQ_AIRQO_TOKEN" in pull.failure.message
    assert airqo.requests() == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status", "status": 503}, TransientFailure),
        ({"kind": "html"}, BrokenAnswer),
        ({"kind": "truncate"}, BrokenAnswer),
        ({"kind": "empty"}, BrokenAnswer),
        ({"kind": "disconnect"}, TransientFailure),
        ({"kind": "timeout", "delay": 20.0}, TransientFailure),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("window", [JUNE_17, NEW_YEAR], ids=["recent", "old"])
def test_every_fault_is_an_outcome_and_passes(
    airqo: RunningSandbox, make: Make, fault: dict[str, Any], kind: type[Exception], window: Window
) -> None:
    client = make(AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault["kind"]), AQ_HTTP_ATTEMPTS="2")
    where = COHORT if window is JUNE_17 else DOWNLOAD
    airqo.inject(**fault, path_contains=f"/{where.strip('/')}")
    client.stations()
    pulls = [pull for pull in client.pull(window) if pull.failure]
    assert pulls
    assert all(isinstance(pull.failure, kind) for pull in pulls)
    airqo.clear()
    client = make(AQ_HTTP_TIMEOUT_SECONDS="60")
    assert pm25(readings(client, sound(list(client.pull(window))))) == published(window)


def test_one_fault_is_mended_by_a_second_try(airqo: RunningSandbox, make: Make) -> None:
    airqo.inject("status", status=429, retry_after=1, times=1)
    client = make()
    assert pm25(readings(client, sound(list(client.pull(JUNE_17))))) == published(JUNE_17)


def test_an_unknown_device_spoils_no_other(airqo: RunningSandbox, make: Make) -> None:
    pulls = list(make("aq_lost", DEVICES[0]).pull(JUNE_17))
    assert {p.source: p.failure is None for p in pulls} == {"aq_lost": False, DEVICES[0]: True}
    [lost] = [pull.failure for pull in pulls if pull.failure]
    assert "no device 'aq_lost': correct networks.airqo.stations" in lost.message


@pytest.mark.parametrize(
    "config",
    [
        {"stations": ("town:5",)},
        {"area": {"latitude": 0.3, "longitude": 32.6, "radius_km": 10}},
    ],
)
def test_an_entry_that_airqo_cannot_serve_is_refused(
    clean_environment: None, config: dict[str, Any]
) -> None:
    entry = NetworkConfig(name="airqo", start_date=date(2020, 1, 1), **config)
    with pytest.raises(SettingsError, match=r"networks\.airqo"):
        create_client(entry, Settings(), lambda: NOW)


# ------------------------------------------------------------------------------------- limits


def test_the_limit_of_historical_calls_is_kept_and_never_met(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients, as two processes would be, on a clock that only their waits move."""
    moment = [1_000_000.0]
    monkeypatch.setattr(sandbox_airqo, "DOWNLOAD_PAGE", 100)
    monkeypatch.setattr(sandbox_airqo, "HISTORICAL_PER_MINUTE", 3)
    monkeypatch.setattr(sandbox_airqo, "monotonic", lambda: moment[0])
    clients = [make(AQ_AIRQO_HISTORICAL_PER_MINUTE="3") for _ in range(2)]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        moment[0] += seconds

    for client in clients:
        client._api.limit._now = lambda: moment[0]
        client._api.limit._sleep = sleep
    for client in clients:
        pulls = sound(list(client.pull(NEW_YEAR)))
        assert len(pulls) == 5
    # Ten calls: the fourth, seventh and tenth wait for the minute of the first, and so on, counted
    # by whole seconds.
    assert waits == [61.0, 61.0, 61.0]
    assert paths(airqo).count(DOWNLOAD) == 10


def test_a_block_is_handed_on_and_nobody_asks_meanwhile(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(), make()
    monkeypatch.setattr(sandbox_airqo, "HISTORICAL_PER_MINUTE", 0)
    [pull] = first.pull(JANUARY)
    assert isinstance(pull.failure, TransientFailure)
    assert pull.failure.retry_after == pytest.approx(900, abs=1)
    asked = paths(airqo).count(DOWNLOAD)
    assert asked == 1
    [pull] = second.pull(JUNE_17)
    assert isinstance(pull.failure, TransientFailure)
    assert "limit of requests (6000 in 60 s) is used up for" in pull.failure.message
    assert pull.failure.retry_after is not None
    # Counted by whole seconds.
    assert 800 < pull.failure.retry_after <= 901
    with pytest.raises(TransientFailure, match="is used up for"):
        second.newest_hour()
    assert not any("measurements" in path for path in paths(airqo))


# ----------------------------------------------------------------------------------- stations


def test_stations_have_the_place_of_their_site(airqo: RunningSandbox, make: Make) -> None:
    found = make(EVERYTHING, DEVICES[0], f"site:{site_id(DEVICES[1])}").stations()
    assert found.failures == {}
    assert [station.station_id for station in found.stations] == sorted(DEVICES)
    by_id = {station.station_id: station for station in found.stations}
    assert by_id[DEVICES[0]].name == f"Site of {DEVICES[0]}, Kampala"
    assert 0.2 < (by_id[DEVICES[0]].latitude or 0) < 0.5
    assert by_id[DEVICES[0]].attribution.startswith("AirQo, Makerere")
    assert by_id["airqo_g5002"].attribution.startswith("US Embassy, through AirQo")


def test_a_list_of_several_pages_is_read_whole(
    airqo: RunningSandbox, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_airqo, "METADATA_PAGE", 5)
    assert len(make(*DEVICES).stations().stations) == COUNT


def test_stations_that_cannot_be_asked_for(airqo: RunningSandbox, make: Make) -> None:
    airqo.inject("status", status=503)
    found = make(AQ_HTTP_ATTEMPTS="1").stations()
    assert found.stations == ()
    assert isinstance(found.failures[EVERYTHING], TransientFailure)


# ------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize("fault", [None, "status", "html", "disconnect", "timeout", "body", "gone"])
def test_the_token_shows_nowhere(
    airqo: RunningSandbox,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str | None,
) -> None:
    token = "MARKED+token/7"
    monkeypatch.setattr(sandbox_airqo, "TOKEN", token)
    settings = {"AQ_AIRQO_TOKEN": token, "AQ_AIRQO_CLIENT_SECRET": "MARKED-secret"}
    if fault == "gone":
        settings["AQ_AIRQO_URL"] = "http://127.0.0.1:1"
    client = make(AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault), AQ_HTTP_ATTEMPTS="2", **settings)
    if fault == "body":
        said = {"success": False, "message": f"no: {token} {quote(token, safe='')} MARKED-secret"}
        airqo.inject("body", body=json.dumps(said))
    elif fault and fault != "gone":
        airqo.inject(fault)
    shown: list[object] = []
    with caplog.at_level(logging.DEBUG):
        for window in (JUNE_17, Window.of_days(date(2025, 6, 1), date(2025, 6, 18))):
            shown += list(client.pull(window))
        shown.append(client.stations())
        try:
            shown.append(client.newest_hour())
        except (TransientFailure, PermanentFailure) as failure:
            chain: BaseException | None = failure
            while chain is not None:
                shown += [repr(chain), str(chain), getattr(chain, "description", "")]
                request = getattr(chain, "_request", None)
                shown += [str(request.url)] if request is not None else []
                chain = chain.__cause__ or chain.__context__
    assert any("HTTP Request: " in record.getMessage() for record in caplog.records) or fault in (
        "gone",
        "timeout",
        "disconnect",
    )
    everything = "\n".join([*map(repr, shown), caplog.text])
    assert "MARKED" not in everything


@pytest.mark.parametrize("secret", ["marked\nsecret", "märked-secret", "marked\x7fsecret"])
@pytest.mark.parametrize("name", ["AQ_AIRQO_TOKEN", "AQ_AIRQO_CLIENT_SECRET"])
def test_a_secret_that_cannot_be_sent_is_not_shown(make: Make, name: str, secret: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: .*holds characters") as error:
        make(**{name: secret})
    assert "ked" not in str(error.value)
