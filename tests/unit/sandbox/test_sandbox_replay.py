"""Recorded answers: served as recorded, cut to the window, nothing added or dropped."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from aq_sandbox.server import SandboxConfig, running_sandbox
from tests.patience import PATIENCE_S

HOURLY = "/v3/getStationHourlyAvg/"
ROOT = Path(__file__).resolve().parents[3]
REAL = Path(os.environ.get("AQ_REAL_DATA") or ROOT.parent / "shared" / "data") / "airqino"


def row(stamp: str, co: float) -> dict[str, Any]:
    return {"timestamp": stamp, "CO": co}


@contextmanager
def replaying(folder: Path, **settings: Any) -> Iterator[httpx.Client]:
    config = SandboxConfig(replay=folder, **settings)
    with (
        running_sandbox(config) as sandbox,
        httpx.Client(base_url=sandbox.url, timeout=PATIENCE_S, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    early = [row("2023-12-06 15:00:00", -0.4), row("2023-12-06 16:00:00", -0.43255)]
    late = {
        "header": {"station_name": "SMART188"},
        "data": [*(row(one["timestamp"], 0.0) for one in early), row("2023-12-06 17:00:00", 0.0)],
    }
    (tmp_path / "283164601_fetched_2023-12.json").write_text(json.dumps(early))
    (tmp_path / "283164601_fetched_2024-09.json").write_text(json.dumps(late, indent=2))
    (tmp_path / "notes.json").write_text("not a recording")
    return tmp_path


WINDOW = {"start_date": "20231206-1500", "end_date": "20231206-1600"}


def test_newest_recording_is_served_within_the_window(folder: Path) -> None:
    with replaying(folder) as client:
        body = client.get(HOURLY + "283164601", params=WINDOW).json()
        unknown = client.get(HOURLY + "283181971", params=WINDOW)
        catalogue = client.get("/api/station").json()
    assert body["header"] == {"station_name": "SMART188"}
    assert body["data"] == [row("2023-12-06 15:00:00", 0.0), row("2023-12-06 16:00:00", 0.0)]
    assert unknown.status_code == 404
    assert [entry["id"] for entry in catalogue] == [283164601]


def test_each_network_has_its_own_folder_of_recordings(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "all" / "airqino"
    own.mkdir(parents=True)
    for path in folder.glob("*_fetched_*.json"):
        path.rename(own / path.name)
    with replaying(tmp_path / "all") as client:
        assert len(client.get(HOURLY + "283164601", params=WINDOW).json()["data"]) == 2
        assert client.get("/sos/api/v1/stations").json() == []


def test_fetched_by_serves_what_was_known_then(folder: Path) -> None:
    with replaying(folder, fetched_by="2023-12") as client:
        body = client.get(HOURLY + "283164601", params=WINDOW).json()
    assert body == {
        "header": {},
        "data": [row("2023-12-06 15:00:00", -0.4), row("2023-12-06 16:00:00", -0.43255)],
    }
    with replaying(folder, fetched_by="2023-11") as client:
        assert client.get(HOURLY + "283164601", params=WINDOW).status_code == 404


def test_without_dates_the_year_before_the_clock_and_no_partial_hour(folder: Path) -> None:
    with replaying(folder, now=datetime(2023, 12, 6, 16, 20, tzinfo=UTC)) as client:
        body = client.get(HOURLY + "283164601").json()
    assert body["data"][-1] == row("2023-12-06 16:00:00", 0.0)


def test_rows_are_passed_on_digit_for_digit_and_illegible_ones_too(tmp_path: Path) -> None:
    odd = '[{"timestamp": "2023-12-06 15:00:00", "CO": 1.10}, {"timestamp": "yesterday"}, 5]'
    (tmp_path / "90_fetched_2024-01.json").write_text(odd)
    with replaying(tmp_path) as client:
        text = client.get(HOURLY + "90", params=WINDOW).text
        (tmp_path / "90_fetched_2024-01.json").write_text("[]")
        changed = client.get(HOURLY + "90", params=WINDOW).json()
    assert text == '{"header":{},"data":' + odd.replace(", {", ",{").replace(", 5", ",5") + "}"
    assert changed["data"] == []


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")
def test_real_recordings_come_back_whole_and_history_differs() -> None:
    recorded = json.loads((REAL / "283164601_fetched_2024-09.json").read_bytes())
    window = {"start_date": "20220101-0000", "end_date": "20250101-0000"}
    with replaying(REAL) as client:
        assert client.get(HOURLY + "283164601", params=window).json() == recorded
        assert len(client.get(HOURLY + "283181971", params=window).json()["data"]) == 7832
    with replaying(REAL, fetched_by="2023-12") as client:
        early = client.get(HOURLY + "283164601", params=window).json()["data"]
    assert len(early) == 8133
    assert sum(one["CO"] < 0 for one in early) == 6645
