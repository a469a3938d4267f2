"""The sandbox's OpenAQ keeps to the contract, with its quirks."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from aq_sandbox.networks.openaq import KEY
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.patience import PATIENCE_S

FROM, TO = "2025-06-10T00:00:00Z", "2025-06-11T00:00:00Z"


@pytest.fixture
def openaq(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=sandbox.url, headers={"X-API-Key": KEY}, timeout=PATIENCE_S, trust_env=False
    ) as client:
        yield client


def results(client: httpx.Client, path: str, **query: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v3{path}", params=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def test_a_key_is_wanted(client: httpx.Client) -> None:
    missing = client.get("/v3/locations")
    assert (missing.status_code, list(missing.json())) == (401, ["message"])
    wrong = client.get("/v3/locations", headers={"X-API-Key": "x"})
    assert (wrong.status_code, wrong.json()) == (401, {"detail": "Invalid credentials"})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/locations", 410),
        ("/v3/locations/4711", 404),
        ("/v3/sensors/21789/hours", 404),
        ("/v3/locations?limit=1001", 422),
        ("/v3/locations?page=0", 422),
        ("/v3/locations?limit=many", 422),
        ("/v3/locations?coordinates=999,999", 422),
        ("/v3/locations?coordinates=5,5&radius=25001", 422),
        ("/v3/locations?bbox=1,2,3", 422),
        ("/v3/sensors/21780/hours?datetime_from=yesterday", 422),
    ],
)
def test_refusals(openaq: httpx.Client, path: str, status: int) -> None:
    assert openaq.get(path).status_code == status


def test_only_get(openaq: httpx.Client) -> None:
    assert openaq.post("/v3/locations").status_code == 405


def test_a_window_leaves_out_its_beginning_and_includes_its_end(openaq: httpx.Client) -> None:
    ends = [
        row["period"]["datetimeTo"]["utc"]
        for row in results(openaq, "/sensors/21780/hours", datetime_from=FROM, datetime_to=TO)
    ]
    assert ends == sorted(ends)
    assert ends[-1] == TO
    assert FROM not in ends
    before = results(
        openaq, "/sensors/21780/hours", datetime_from="2025-06-09T00:00:00Z", datetime_to=FROM
    )
    assert before[-1]["period"]["datetimeTo"]["utc"] <= FROM


def test_found_is_text_where_there_is_more(openaq: httpx.Client) -> None:
    query = {"datetime_from": FROM, "datetime_to": TO}
    few = openaq.get("/v3/sensors/21780/hours", params={**query, "limit": "5"}).json()
    assert (few["meta"]["found"], len(few["results"])) == (">5", 5)
    total = openaq.get("/v3/sensors/21780/hours", params=query).json()["meta"]["found"]
    assert isinstance(total, int)
    pages = [
        results(openaq, "/sensors/21780/hours", **query, limit="5", page=str(n))
        for n in range(1, 7)
    ]
    assert sum(map(len, pages)) == total
    assert len(pages[-1]) < 5


def test_a_gap_is_a_row_without_a_value(openaq: httpx.Client) -> None:
    rows = results(
        openaq,
        "/sensors/21780/hours",
        datetime_from="2025-05-01T00:00:00Z",
        datetime_to=TO,
        limit="1000",
    )
    gaps = [row for row in rows if row["value"] is None]
    assert gaps
    assert all(row["coverage"]["percentCoverage"] == 100.0 for row in gaps)
    ends = [datetime.fromisoformat(row["period"]["datetimeTo"]["utc"]) for row in rows]
    assert {later - end for end, later in itertools.pairwise(ends)} == {timedelta(hours=1)}


def test_a_time_without_a_zone_is_local(openaq: httpx.Client) -> None:
    local = results(
        openaq,
        "/sensors/21780/hours",
        datetime_from="2025-06-09T18:00:00",
        datetime_to="2025-06-10T18:00:00",
    )
    assert local == results(openaq, "/sensors/21780/hours", datetime_from=FROM, datetime_to=TO)


def test_the_limit_is_told_in_seconds_left(sandbox: RunningSandbox, openaq: httpx.Client) -> None:
    sandbox.set_answer("openaq/limit", "2")
    answers = [openaq.get("/v3/locations") for _ in range(6)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json() == {"detail": "Too many requests"}
    for answer in refused:
        assert 0 < int(answer.headers["x-ratelimit-reset"]) <= 60
        assert answer.headers["x-ratelimit-remaining"] == "0"


def test_latest_names_neither_parameter_nor_unit(openaq: httpx.Client) -> None:
    rows = results(openaq, "/parameters/2/latest", datetime_min="2025-06-18T00:00:00Z")
    assert len(rows) == 5
    assert set(rows[0]) == {"datetime", "value", "coordinates", "sensorsId", "locationsId"}
    assert max(row["datetime"]["utc"] for row in rows) == "2025-06-18T09:00:00Z"
    of_one = results(openaq, "/locations/2178/latest")
    assert rows[0] in of_one
    assert results(openaq, "/parameters/2/latest", datetime_min="2025-06-18T09:01:00Z") == []


def test_countries_have_plain_times(openaq: httpx.Client) -> None:
    assert isinstance(results(openaq, "/countries")[0]["datetimeFirst"], str)
    names = {(row["name"], row["units"]) for row in results(openaq, "/parameters")}
    assert {("temperature", "c"), ("temperature", "f")} <= names


def test_locations_around_a_point(openaq: httpx.Client) -> None:
    near = results(openaq, "/locations", coordinates="35.1353,-106.5847", radius="1000")
    assert [row["id"] for row in near] == [2178]
    box = results(openaq, "/locations", bbox="-107,35,-106,36")
    assert near == box


@contextmanager
def replaying(folder: Path, now: datetime) -> Iterator[httpx.Client]:
    with (
        running_sandbox(SandboxConfig(replay=folder, now=now)) as sandbox,
        httpx.Client(
            base_url=sandbox.url, headers={"X-API-Key": KEY}, timeout=PATIENCE_S, trust_env=False
        ) as client,
    ):
        yield client


def test_recorded_rows_come_back_within_the_window(real_data: Path) -> None:
    recorded = json.loads((real_data / "openaq" / "sensor_7772024.json").read_bytes())["results"]
    with replaying(real_data, datetime(2024, 2, 5, tzinfo=UTC)) as client:
        whole = results(client, "/sensors/7772024/hours", limit="1000")
        assert whole == recorded
        ends = [row["period"]["datetimeTo"]["utc"] for row in recorded]
        some = results(
            client,
            "/sensors/7772024/hours",
            datetime_from=ends[3],
            datetime_to=ends[6],
        )
        assert some == recorded[4:7]
        # Its neighbour was never recorded; another is in no recorded location.
        assert results(client, "/sensors/7772022/hours") == []
        assert client.get("/v3/sensors/21780/hours").status_code == 404
        [latest] = results(client, "/locations/2161292/latest")
        assert latest["value"] == recorded[-1]["value"]
        assert latest["datetime"] == recorded[-1]["period"]["datetimeTo"]
        assert results(client, "/parameters/4/latest") == [latest]
        assert results(client, "/parameters/2/latest") == []


def test_the_clock_decides_what_is_over_in_a_recording(real_data: Path) -> None:
    with replaying(real_data, datetime(2024, 1, 29, 17, 30, tzinfo=UTC)) as client:
        values = [row["value"] for row in results(client, "/sensors/7772024/hours")]
        assert values == [909.0, 748.2]
        assert results(client, "/locations/2161292/latest")[0]["value"] == 748.2


def test_recorded_locations_are_listed_as_they_were(real_data: Path) -> None:
    recorded = json.loads((real_data / "openaq" / "mock_locations_vn.json").read_bytes())
    with replaying(real_data, datetime(2024, 2, 5, tzinfo=UTC)) as client:
        assert results(client, "/locations", limit="1000") == recorded["results"]
        one = results(client, "/locations/2446")
        assert [place["name"] for place in one] == ["US Diplomatic Post: Ho Chi Minh City"]
        near = results(client, "/locations", coordinates="10.7830,106.7007", radius="1000")
        assert one[0] in near
        assert len(near) < 10
        assert [country["code"] for country in results(client, "/countries")] == ["VN"]
        known = {row["id"]: (row["name"], row["units"]) for row in results(client, "/parameters")}
        assert (known[2], known[4]) == (("pm25", "µg/m³"), ("co", "µg/m³"))


def test_a_recorded_file_of_the_archive(real_data: Path) -> None:
    folder = real_data / "openaq" / "documented_bodies"
    recorded = (folder / "src__content__docs__aws__about__0.csv").read_bytes()
    key = "records/csv.gz/locationid=2178/year=2023/month=02/location-2178-202302"
    with replaying(real_data, datetime(2024, 2, 5, tzinfo=UTC)) as client:
        answer = client.get(f"/openaq-archive/{key}22.csv.gz")
        assert gzip.decompress(answer.content) == recorded
        assert client.get(f"/openaq-archive/{key}23.csv.gz").status_code == 404


def test_recordings_of_others_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "283164601_fetched_2024-01.json").write_text("[]")
    (tmp_path / "some.csv").write_bytes(b"\xff,b\n1,2\n")
    (tmp_path / "empty.csv").write_bytes(b"")
    with replaying(tmp_path, datetime(2024, 2, 5, tzinfo=UTC)) as client:
        assert results(client, "/locations") == []


def test_archive_files_are_local_days(sandbox: RunningSandbox) -> None:
    def get(day: str) -> httpx.Response:
        key = f"records/csv.gz/locationid=2178/year={day[:4]}/month={day[4:6]}"
        url = f"{sandbox.url}/openaq-archive/{key}/location-2178-{day}.csv.gz"
        return httpx.get(url, trust_env=False)

    text = gzip.decompress(get("20250610").content).decode()
    lines = text.split("\r\n")
    assert lines[0] == (
        '"location_id","sensors_id","location","datetime","lat","lon","parameter","units","value"'
    )
    stamps = sorted({line.split(",")[3].strip('"') for line in lines[1:-1]})
    assert "2025-06-10T00:00:00-06:00" not in stamps
    assert stamps[-1] <= "2025-06-11T00:00:00-06:00"
    assert '"Del Norte-2178"' in lines[1]
    # The day of the 14th ended on the 15th at 06:00 UTC; its file is written 72 hours later.
    sandbox.set_clock(datetime(2025, 6, 18, 5, 59, tzinfo=UTC))
    assert get("20250614").status_code == 404
    sandbox.set_clock(datetime(2025, 6, 18, 6, 0, tzinfo=UTC))
    assert get("20250614").status_code == 200
    assert get("20250615").status_code == 404
