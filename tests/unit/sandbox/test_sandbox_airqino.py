"""AirQino's contract as the sandbox speaks it, quirk by quirk."""

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from aq_sandbox.server import RunningSandbox
from aq_sandbox.stations import is_known, station_ids

HOURLY = "/v3/getStationHourlyAvg/"
TOKEN = "/realms/airqino/protocol/openid-connect/token"
DAY = {"start_date": "20250610-0000", "end_date": "20250610-2300"}
LOGIN = {
    "grant_type": "password",
    "client_id": "demo-client",
    "client_secret": "demo-secret",
    "username": "demo-user",
    "password": "demo-password",
    "scope": "openid",
}


def get(client: httpx.Client, station: str, **params: str) -> Any:
    answer = client.get(HOURLY + station, params=params)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_answer_has_the_networks_shape(client: httpx.Client) -> None:
    body = get(client, "283181971", **DAY)
    assert list(body) == ["header", "data"]
    assert body["data"]
    for row in body["data"]:
        assert re.fullmatch(r"2025-06-10 \d\d:00:00", row["timestamp"])
        keys = ["timestamp", "CO", "T", "T. int.", "NO2", "O3", "PM10", "PM2.5", "RH"]
        assert list(row) == [key for key in keys if key in row]
        assert all(isinstance(value, float) for key, value in row.items() if key != "timestamp")
    stamps = [row["timestamp"] for row in body["data"]]
    assert stamps == sorted(set(stamps))


def test_window_counts_both_ends_and_cuts_nothing_else(client: httpx.Client) -> None:
    window = {"start_date": "20250601-0000", "end_date": "20250611-0000"}
    wide = {row["timestamp"]: row for row in get(client, "283181971", **window)["data"]}
    day = get(client, "283181971", start_date="20250610-0000", end_date="20250611-0000")["data"]
    assert "2025-06-11 00:00:00" in wide
    assert day == [row for stamp, row in wide.items() if stamp >= "2025-06-10 00:00:00"]


def test_without_dates_the_last_365_days_up_to_now(client: httpx.Client) -> None:
    data = get(client, "283249436")["data"]
    assert data[0]["timestamp"].startswith("2024-06-18 1")
    assert data[-1]["timestamp"].startswith("2025-06-18 0")
    assert 7900 < len(data) < 8760


def test_one_date_alone_is_enough(client: httpx.Client) -> None:
    since = get(client, "283249436", start_date="20250617-0000")["data"]
    assert since[0]["timestamp"] >= "2025-06-17 00:00:00"
    assert since[-1]["timestamp"] >= "2025-06-18"
    until = get(client, "283249436", end_date="20240101-0000")["data"]
    assert until[0]["timestamp"] < "2023-01-02"
    assert until[-1]["timestamp"] <= "2024-01-01 00:00:00"


def test_window_without_readings_is_an_empty_answer(client: httpx.Client) -> None:
    assert (
        get(client, "283249436", start_date="20300101-0000", end_date="20300102-0000")["data"] == []
    )
    assert (
        get(client, "283249436", start_date="00020101-0000", end_date="00030101-0000")["data"] == []
    )


def test_header_positions_are_wrong_and_the_catalogue_disagrees(client: httpx.Client) -> None:
    header = get(client, "283164601", **DAY)["header"]
    assert header["station_name"] == "SMART188"
    assert (header["station_lat"], header["station_lon"]) == (
        5.369345664978027,
        0.05000000074505806,
    )
    assert get(client, "283181971", **DAY)["header"]["station_lon"] == 3.957688093185425
    entry = client.get("/api/station").json()[1]
    assert entry["lon"] < -3


def test_station_id_stands_only_in_some_headers_and_asking_again_changes_nothing(
    client: httpx.Client,
) -> None:
    headers = []
    for day in range(1, 29):
        params = {"start_date": f"202502{day:02}-0000", "end_date": f"202502{day:02}-2300"}
        body = get(client, "283164601", **params)
        assert get(client, "283164601", **params) == body
        headers.append(body["header"])
    assert {header.get("station_id") for header in headers} == {None, 283164601}


def test_newest_row_is_a_partial_hour_that_changes(
    sandbox: RunningSandbox, client: httpx.Client, now: datetime
) -> None:
    window = {"start_date": "20250618-0000", "end_date": "20250618-2300"}
    first = get(client, "283181971", **window)["data"]
    sandbox.set_clock(now.replace(minute=50))
    second = get(client, "283181971", **window)["data"]
    assert first[-1]["timestamp"] == second[-1]["timestamp"] == "2025-06-18 09:00:00"
    assert first[-1] != second[-1]
    assert first[:-1] == second[:-1]


def test_catalogue_lists_every_station(client: httpx.Client) -> None:
    catalogue = client.get("/api/station").json()
    assert [entry["id"] for entry in catalogue] == [
        283164601,
        283181971,
        283249436,
        900000001,
        900000002,
    ]
    assert [entry["name"] for entry in catalogue][:4] == [
        "SMART188",
        "SMART189",
        "SMART193",
        "SMART194",
    ]
    assert all(list(entry) == ["id", "name", "lat", "lon", "projects"] for entry in catalogue)


@pytest.mark.parametrize("station", ["283164602", "900000003", "900000000", "SMART188", "9"])
def test_unknown_station_is_not_found(client: httpx.Client, station: str) -> None:
    answer = client.get(HOURLY + station, params=DAY)
    assert answer.status_code == 404
    assert station in answer.json()["error"]


@pytest.mark.parametrize(
    "date", ["2025-06-10", "20250610", "20251310-0000", "20250610-2460", "2025061-00000", ""]
)
def test_malformed_date_is_refused(client: httpx.Client, date: str) -> None:
    for name in ("start_date", "end_date"):
        answer = client.get(HOURLY + "283164601", params={name: date})
        assert answer.status_code == 400
        assert "error" in answer.json()


def test_station_list() -> None:
    assert station_ids(1) == ["283164601"]
    assert station_ids(1000)[-1] == "900000997"
    assert all(is_known(one, 7) for one in station_ids(7))
    assert not is_known("283249436", 2)
    assert not is_known("900000001", 3)


def test_environment_points_at_the_sandbox(
    sandbox: RunningSandbox, guarded: RunningSandbox
) -> None:
    settings = {name: value for name, value in sandbox.environment.items() if "AIRQINO" in name}
    assert settings == {
        "AQ_AIRQINO_URL": sandbox.url,
        "AQ_AIRQINO_TOKEN_URL": sandbox.url + TOKEN,
        "AQ_AIRQINO_CATALOGUE_URL": sandbox.url + "/api/station",
    }
    assert guarded.environment["AQ_AIRQINO_PASSWORD"] == "demo-password"


# Access with a token


def log_in(client: httpx.Client, **changes: str) -> httpx.Response:
    return client.post(TOKEN, data={**LOGIN, **changes})


def status_with(client: httpx.Client, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return client.get(HOURLY + "283164601", params=DAY, headers=headers).status_code


@pytest.mark.parametrize("path", [HOURLY + "283164601", HOURLY + "1", "/api/station"])
def test_without_a_token_every_data_path_answers_an_empty_401(
    guarded_client: httpx.Client, path: str
) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        answer = guarded_client.get(path, headers=headers)
        assert (answer.status_code, answer.text) == (401, "{}")


def test_password_grant_gives_a_token_that_expires(
    guarded: RunningSandbox, guarded_client: httpx.Client, now: datetime
) -> None:
    grant = log_in(guarded_client).json()
    assert (grant["expires_in"], grant["token_type"]) == (300, "Bearer")
    assert status_with(guarded_client, grant["access_token"]) == 200
    guarded.set_clock(now.replace(minute=24))
    assert status_with(guarded_client, grant["access_token"]) == 200
    guarded.set_clock(now.replace(minute=25))
    assert status_with(guarded_client, grant["access_token"]) == 401


def test_refresh_grant_gives_a_new_token_until_it_expires_too(
    guarded: RunningSandbox, guarded_client: httpx.Client, now: datetime
) -> None:
    old = log_in(guarded_client).json()
    guarded.set_clock(now.replace(minute=49))
    renewal = {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]}
    new = log_in(guarded_client, **renewal).json()
    assert new["access_token"] != old["access_token"]
    assert status_with(guarded_client, new["access_token"]) == 200

    guarded.set_clock(now.replace(minute=50))
    refused = log_in(guarded_client, **renewal)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    # An access token does not renew itself.
    misuse = log_in(guarded_client, **{**renewal, "refresh_token": new["access_token"]})
    assert misuse.status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"password": "wrong"}, 401, "invalid_grant"),
        ({"username": ""}, 401, "invalid_grant"),
        ({"client_secret": "wrong"}, 401, "unauthorized_client"),
        ({"client_id": "wrong"}, 401, "unauthorized_client"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_are_refused(
    guarded_client: httpx.Client, changes: dict[str, str], status: int, error: str
) -> None:
    answer = log_in(guarded_client, **changes)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
