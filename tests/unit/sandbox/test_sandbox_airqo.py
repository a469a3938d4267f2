"""AirQo's contract as the sandbox speaks it, quirk by quirk."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from aq_sandbox.networks import airqo
from aq_sandbox.networks.airqo import COHORT, GRID, TOKEN, device_id, device_name, site_id
from aq_sandbox.server import RunningSandbox
from tests.patience import PATIENCE_S

MEASUREMENTS = "/api/v2/devices/measurements"
DOWNLOAD = "/api/v3/public/analytics/data-download"
DEVICES = [device_name(number) for number in range(5)]
LAST_DAYS = {"startTime": "2025-06-10T00:00:00.000Z", "endTime": "2025-06-16T23:00:00.000Z"}


@pytest.fixture
def known(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    """A client with the token."""
    params = {"token": TOKEN}
    with httpx.Client(
        base_url=sandbox.url, timeout=PATIENCE_S, trust_env=False, params=params
    ) as client:
        yield client


def measured(client: httpx.Client, path: str = f"cohorts/{COHORT}", **params: str) -> Any:
    answer = client.get(f"{MEASUREMENTS}/{path}", params={**LAST_DAYS, **params})
    assert answer.status_code == 200
    return answer.json()


def downloaded(client: httpx.Client, **more: Any) -> Any:
    question = {
        "startDateTime": "2025-01-01T00:00:00.000Z",
        "endDateTime": "2025-02-28T23:59:59.000Z",
        "device_names": DEVICES,
        **more,
    }
    return client.post(DOWNLOAD, json=question)


def test_without_the_token_nothing(client: httpx.Client) -> None:
    for answer in (
        client.get(f"{MEASUREMENTS}/cohorts/{COHORT}", params=LAST_DAYS),
        client.get("/api/v2/devices/metadata/sites", params={"token": "wrong"}),
        downloaded(client),
    ):
        assert answer.status_code == 401
        assert answer.json()["error"] == "Unauthorized"


def test_a_page_has_80_records_at_most_and_says_so(known: httpx.Client) -> None:
    assert measured(known)["meta"]["limit"] == 30
    first = measured(known, limit="1000")
    meta = first["meta"]
    assert (meta["limit"], len(first["measurements"]), meta["skip"]) == (80, 80, 0)
    assert meta["pages"] == -(-meta["total"] // 80)
    records = list(first["measurements"])
    while len(records) < meta["total"]:
        records += measured(known, limit="1000", skip=str(len(records)))["measurements"]
    stamps = [record["time"] for record in records]
    assert stamps == sorted(stamps, reverse=True)
    assert measured(known, skip=str(len(records)))["measurements"] == []
    # Both ends count.
    assert (min(stamps), max(stamps)) == (LAST_DAYS["startTime"], LAST_DAYS["endTime"])


@pytest.mark.parametrize(
    ("path", "devices"),
    [
        (f"grids/{GRID}", set(DEVICES)),
        (f"sites/{site_id(DEVICES[1])}", {DEVICES[1]}),
        (f"devices/{device_id(DEVICES[2])}", {DEVICES[2]}),
    ],
)
def test_every_way_to_ask(known: httpx.Client, path: str, devices: set[str]) -> None:
    assert {r["device"] for r in measured(known, path, limit="80")["measurements"]} == devices


def test_what_is_older_than_31_days_is_refused(known: httpx.Client) -> None:
    old = {**LAST_DAYS, "startTime": "2025-05-18T09:00:00.000Z"}
    answer = known.get(f"{MEASUREMENTS}/cohorts/{COHORT}", params=old)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Query too old"
    assert answer.json()["errors"].keys() == {"oldest_supported", "query_age_days"}
    assert known.get(f"{MEASUREMENTS}/cohorts/unknown", params=LAST_DAYS).status_code == 400
    assert known.get(f"{MEASUREMENTS}/cohorts/{COHORT}").status_code == 400


def test_records_show_the_quirks(known: httpx.Client) -> None:
    records: list[dict[str, Any]] = []
    while True:
        page = measured(known, limit="80", skip=str(len(records)))["measurements"]
        if not page:
            break
        records += page
    assert any(record["no2"] == {} for record in records)
    assert any(record["no2"] == {"value": None} for record in records)
    assert any("siteDetails" not in record for record in records)
    providers = {r["siteDetails"]["data_provider"] for r in records if "siteDetails" in r}
    assert providers == {"AirQo", "US Embassy"}
    embassy = [r for r in records if r["device"] == "airqo_g5002"]
    assert {record["pm10"]["value"] for record in embassy} == {None}


def test_an_hour_appears_an_hour_and_a_half_after_it_began(known: httpx.Client) -> None:
    today = {"startTime": "2025-06-18T00:00:00Z", "endTime": "2025-06-18T23:00:00Z"}
    newest = measured(known, **today)["measurements"][0]
    assert newest["time"] == "2025-06-18T07:00:00.000Z"
    recent = known.get(f"{MEASUREMENTS}/recent").json()["measurements"]
    assert {record["device"] for record in recent} == set(DEVICES)


def test_the_download_goes_on_by_its_cursor(known: httpx.Client) -> None:
    rows: list[dict[str, Any]] = []
    state: dict[str, Any] = {"has_more": True}
    cursor: dict[str, str] = {}
    while state["has_more"]:
        body = downloaded(known, **cursor).json()
        rows += body["data"]
        state = body["metadata"]
        cursor = {"cursor": state["next"]}
        assert len(body["data"]) <= airqo.DOWNLOAD_PAGE
    assert len(rows) == state["total_count"] > airqo.DOWNLOAD_PAGE
    assert state["next"] is None
    assert rows == sorted(rows, key=lambda row: row["datetime"])
    twice = Counter((row["device_name"], row["datetime"]) for row in rows)
    twins = {key for key, count in twice.items() if count == 2}
    assert 0 < len(twins) < len(rows) / 100
    names = {
        (row["device_name"], row["datetime"]): row["site_name"]
        for row in rows
        if row["site_name"] is not None
    }
    assert twins <= names.keys()
    assert sum(row["site_name"] is None for row in rows) == len(twins)
    assert any(row["latitude"] == row["longitude"] == 0.0 for row in rows)
    assert any(row["temperature"] == row["humidity"] == 0.0 for row in rows)
    assert any(row["s1_pm2_5"] > 1.5 * row["pm2_5"] for row in rows)


def test_the_download_refuses_and_finds_nothing_as_the_contract_says(known: httpx.Client) -> None:
    nothing = downloaded(known, device_names=["unknown"])
    assert (nothing.status_code, nothing.json()["code"]) == (404, "NOT_FOUND")
    assert downloaded(known, endDateTime="2025-06-01T00:00:00Z").status_code == 400
    assert downloaded(known, startDateTime="yesterday").status_code == 400


def test_three_historical_calls_then_a_quarter_of_an_hour_without_any(
    known: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [5e6]
    monkeypatch.setattr(airqo, "HISTORICAL_PER_MINUTE", 3)
    monkeypatch.setattr(airqo, "monotonic", lambda: moment[0])

    def call() -> httpx.Response:
        return known.get(f"{MEASUREMENTS}/cohorts/{COHORT}/historical", params=LAST_DAYS)

    assert [call().status_code for _ in range(3)] == [200] * 3
    assert call().json()["errors"]["blocked_for_seconds"] == 900
    moment[0] += 60
    blocked = call()
    assert (blocked.status_code, blocked.json()["errors"]["blocked_for_seconds"]) == (429, 840)
    assert measured(known)["measurements"]
    moment[0] += 841
    assert call().status_code == 200


def test_metadata_and_members(known: httpx.Client) -> None:
    devices = known.get("/api/v2/devices/metadata/devices").json()
    assert [one["name"] for one in devices["devices"]] == DEVICES
    assert devices["devices"][0]["_id"] == device_id(DEVICES[0])
    sites = known.get("/api/v2/devices/metadata/sites", params={"skip": "4"}).json()
    assert [one["_id"] for one in sites["sites"]] == [site_id(DEVICES[4])]
    for kind, given in (("cohorts", COHORT), ("grids", GRID)):
        members = known.get(f"/api/v2/devices/{kind}/{given}/generate").json()["sites"]
        assert [site["devices"][0]["device_name"] for site in members] == DEVICES
    assert known.get("/api/v2/devices/cohorts/unknown/generate").status_code == 404
