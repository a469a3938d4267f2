"""The sandbox's IRCELINE against the contract and its quirks."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from aq_sandbox.networks.irceline import span
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox

BASE = "/sos/api/v1"
HOUR_MS = 3_600_000
DAY = "2025-06-10T00:00:00Z/2025-06-11T00:00:00Z"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def ask(client: httpx.Client, timespan: str, *series: str) -> Any:
    answer = client.post(
        f"{BASE}/timeseries/getData", json={"timespan": timespan, "timeseries": list(series)}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def values(client: httpx.Client, timespan: str, series: str) -> dict[int, float | None]:
    points = ask(client, timespan, series)[series]["values"]
    found = {point["timestamp"]: point["value"] for point in points}
    assert len(found) == len(points)
    return found


def test_stations_are_a_bare_list_with_text_in_their_positions(client: httpx.Client) -> None:
    stations = client.get(f"{BASE}/stations").json()
    assert len(stations) == 5
    first = stations[0]
    assert first["properties"] == {"id": 1030, "label": "40AL01 - Linkeroever"}
    assert first["geometry"] == {"coordinates": [4.3852, 51.2362, "NaN"], "type": "Point"}


def test_expanded_stations_hold_their_series_by_id(client: httpx.Client) -> None:
    first = client.get(f"{BASE}/stations", params={"expanded": "true"}).json()[0]
    series = first["properties"]["timeseries"]
    assert series["10001"]["phenomenon"] == series["10001"]["category"]
    assert series["10001"]["feature"] == {"id": "1030", "label": "40AL01 - Linkeroever"}
    alone = client.get(f"{BASE}/stations/1030").json()
    assert alone == first
    assert client.get(f"{BASE}/stations/77").status_code == 404


def test_stations_near_a_point(client: httpx.Client) -> None:
    near = {"center": {"type": "Point", "coordinates": [4.3852, 51.2362]}, "radius": 4.5}
    found = client.get(f"{BASE}/stations", params={"near": json.dumps(near)}).json()
    ids = {one["properties"]["id"] for one in found}
    assert {1030, 1148} <= ids
    assert 1234 not in ids


def test_series_tell_unit_station_and_phenomenon(client: httpx.Client) -> None:
    series = client.get(f"{BASE}/timeseries", params={"expanded": "true"}).json()
    assert {one["uom"] for one in series} == {"µg/m³", "ug/m3", "mg/m3"}
    phenomena = {one["id"]: one["label"] for one in client.get(f"{BASE}/phenomena").json()}
    for one in series:
        told = one["parameters"]["phenomenon"]
        assert phenomena[told["id"]] == told["label"]
        assert one["station"]["properties"]["label"] in one["label"]
    pm10 = client.get(
        f"{BASE}/timeseries", params={"expanded": "true", "station": "1030", "phenomenon": "5"}
    ).json()
    assert [one["id"] for one in pm10] == ["10000", "10001"]
    assert "DAILY CORRECTION TEOM" in pm10[0]["parameters"]["procedure"]["label"]
    plain = client.get(f"{BASE}/timeseries").json()
    assert len(plain) == len(series)
    assert "parameters" not in plain[0]


def test_stamps_mark_the_hours_end_and_both_ends_count(client: httpx.Client) -> None:
    whole = values(client, "2025-06-09T00:00:00Z/2025-06-12T00:00:00Z", "10002")
    day = values(client, DAY, "10002")
    first, last = ms("2025-06-10T00:00:00+00:00"), ms("2025-06-11T00:00:00+00:00")
    inside = {stamp: value for stamp, value in whole.items() if first <= stamp <= last}
    assert day == inside
    assert 21 <= len(day) <= 25
    assert all(stamp % HOUR_MS == 0 for stamp in whole)
    assert {first, last} <= whole.keys()


def test_no_hour_is_stamped_later_than_the_one_in_progress(
    client: httpx.Client, now: datetime
) -> None:
    stamps = values(client, "2025-06-17T00:00:00Z/2025-06-30T00:00:00Z", "10002")
    in_progress = now.replace(minute=0) + timedelta(hours=1)
    assert max(stamps) <= int(in_progress.timestamp()) * 1000


def test_the_newer_series_of_pm10_has_gaps_that_the_older_has_not(client: httpx.Client) -> None:
    month = "2025-05-01T00:00:00Z/2025-05-31T00:00:00Z"
    old, new = (values(client, month, name) for name in ("10000", "10001"))
    gaps = [stamp for stamp, value in new.items() if value is None]
    assert 5 < len(gaps) < 60
    assert all(old[stamp] is not None for stamp in gaps)


def test_some_series_are_empty_and_missing_values_have_two_forms(client: httpx.Client) -> None:
    year = "2024-06-10T00:00:00Z/2025-06-10T00:00:00Z"
    assert values(client, year, "10007") == {}
    listed = [one["id"] for one in client.get(f"{BASE}/timeseries").json()]
    answers = ask(client, year, *listed).values()
    found = {point["value"] for answer in answers for point in answer["values"]}
    assert None in found
    assert -99.9 in found


def test_one_series_by_get(client: httpx.Client) -> None:
    path = f"{BASE}/timeseries/10002/getData"
    plain = client.get(path, params={"timespan": DAY}).json()
    wrapped = client.get(path, params={"timespan": DAY, "expanded": "true"}).json()
    assert wrapped == {"10002": plain} == ask(client, DAY, "10002")
    recent = client.get(path).json()["values"]
    assert 15 < len(recent) <= 25


@pytest.mark.parametrize(
    ("timespan", "first", "last"),
    [
        (DAY, "2025-06-10T00:00:00+00:00", "2025-06-11T00:00:00+00:00"),
        ("PT24H/2025-06-11T00:00:00Z", "2025-06-10T00:00:00+00:00", "2025-06-11T00:00:00+00:00"),
        ("PT24h/2025-06-11TZ", "2025-06-10T00:00:00+00:00", "2025-06-11T00:00:00+00:00"),
        ("2025-06-10T00:00:00Z/P1DT2H", "2025-06-10T00:00:00+00:00", "2025-06-11T02:00:00+00:00"),
        # A date alone is Belgian local midnight, in summer and in winter.
        ("PT24H/2025-06-11", "2025-06-09T22:00:00+00:00", "2025-06-10T22:00:00+00:00"),
        ("PT24H/2025-01-11", "2025-01-09T23:00:00+00:00", "2025-01-10T23:00:00+00:00"),
    ],
)
def test_forms_of_a_time_span(timespan: str, first: str, last: str) -> None:
    moments = datetime.fromisoformat(first), datetime.fromisoformat(last)
    assert span(timespan, datetime.now(UTC)) == moments


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"timespan": "yesterday", "timeseries": ["10002"]}, 400),
        ({"timespan": "P1Y/2025-06-11T00:00:00Z", "timeseries": ["10002"]}, 400),
        ({"timespan": "2023-06-10T00:00:00Z/2025-06-10T00:00:00Z", "timeseries": ["10002"]}, 400),
        ({"timespan": DAY}, 400),
        ({"timespan": DAY, "timeseries": ["10002", "5"]}, 404),
    ],
)
def test_refusals_give_a_reason(client: httpx.Client, body: Any, status: int) -> None:
    answer = client.post(f"{BASE}/timeseries/getData", json=body)
    assert answer.status_code == status
    assert answer.json()["userMessage"]


def test_an_exact_answer_takes_a_series_place_and_an_empty_one_takes_it_away(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    sandbox.set_answer("10003", '{"values": 5}')
    found = ask(client, DAY, "10002", "10003")
    assert found["10003"] == {"values": 5}
    assert found["10002"]["values"]
    sandbox.set_answer("10003", "")
    question = {"timespan": DAY, "timeseries": ["10002", "10003"]}
    assert client.post(f"{BASE}/timeseries/getData", json=question).status_code == 404
    listed = client.get(f"{BASE}/timeseries").json()
    assert "10003" in {one["id"] for one in listed}


def test_recorded_bodies_are_served_as_recorded(real_data: Path) -> None:
    folder = real_data / "irceline"
    recorded = json.loads((folder / "multiple_time_series_response_example.json").read_text())
    with (
        running_sandbox(SandboxConfig(replay=real_data)) as sandbox,
        httpx.Client(base_url=sandbox.url, trust_env=False) as client,
    ):
        assert len(client.get(f"{BASE}/stations").json()) == 69
        timespan = "PT24H/2023-11-23T00:00:00Z"
        assert ask(client, timespan, *recorded) == recorded
        short = ask(client, "PT2H/2023-11-22T02:00:00Z", "6152")["6152"]["values"]
        assert short == recorded["6152"]["values"][:3]
        listed = client.get(f"{BASE}/timeseries", params={"expanded": "true"}).json()
        found = {one["id"]: one["parameters"]["phenomenon"]["label"] for one in listed}
        assert found["6152"] == "Particulate Matter < 10 µm"
        assert {"10744", "7186"} <= found.keys()
