"""Pushed readings all the way through: drained, averaged over windows, hours and days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from aq_assets.window_averages import PENDING_ONLY, expire_windows
from aq_platform.definitions import build_defs
from aq_resources.networks.devices.client import DevicesClient
from aq_resources.services import Services
from aq_resources.spool.frames import Note, Readings, Refusals, encode
from aq_resources.spool.reader import DONE, READY, STORED, Spool
from aq_resources.spool.writer import SpoolWriter
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.tables.core import Table
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.raw_pulls import RAW_PULLS
from aq_science.tables.registry import OF_DEVICES
from aq_science.windows import DAY, HOUR
from tests.factories import utc

pytestmark = pytest.mark.server

TODAY = utc(2026, 3, 10)
SECOND = timedelta(seconds=1)


def microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


class Devices:
    """A platform whose one network is the devices', with a clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.now = TODAY + 8 * HOUR
        self.services = Services.from_environment(lambda: self.now)
        self.instance = dg.DagsterInstance.ephemeral()
        self.defs = build_defs(self.services)
        client = self.services.client("devices")
        assert isinstance(client, DevicesClient)
        self.client = client
        assert isinstance(client.spool, Spool)
        self.spool = client.spool
        self.pulls = RawPullStore(self.services.object_store, "devices")
        self.folder = folder

    def push(
        self,
        start: datetime,
        count: int,
        received: datetime | None = None,
        device: str = "1",
        sensor: str = "pm25",
        every: timedelta = SECOND,
        value: float | None = None,
    ) -> None:
        """Readings that arrived together, as `aq ingest` stores them: of one day."""
        writer = SpoolWriter(self.spool.root, 0.0, 1 << 20, lambda: self.now, lambda: 0.0)
        came = received or start + count * every
        times = [start + n * every for n in range(count)]
        late = [Note.LATE if came - time > 60 * SECOND else 0 for time in times]
        frame = Readings(
            "city",
            microseconds(came),
            [device] * count,
            [sensor] * count,
            list(map(microseconds, times)),
            [float(n % 7) if value is None else value for n in range(count)],
            list(map(int, late)),
        )
        writer.append([(start.date(), encode(frame))])
        writer.close()

    def run(self, job: str, day: datetime = TODAY, **more: Any) -> None:
        result = self.defs.resolve_job_def(f"devices_{job}").execute_in_process(
            instance=self.instance, partition_key=day.date().isoformat(), **more
        )
        assert result.success

    def drain(self, day: datetime = TODAY, job: str = "windows") -> None:
        self.run(job, day, tags={PENDING_ONLY: "true"})

    def table(self, name: str, where: str = "true") -> pl.DataFrame:
        return self.services.warehouse.read(
            f"SELECT * FROM devices.{name} WHERE {where} ORDER BY ALL"
        )

    def hours(self, day: datetime = TODAY) -> pl.DataFrame:
        files = self.services.files.day_files("devices", "hourly_readings")
        return files.scan_days([day.date()]).collect()


@pytest.fixture
def devices(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Devices]:
    path = tmp_path / "networks.yaml"
    entry = {"start_date": "2026-03-01", "stations": ["fleet:*"]}
    path.write_text(json.dumps({"networks": {"devices": entry}}))
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AQ_NETWORKS", str(path))
    monkeypatch.setenv("AQ_DEVICES_KEEP_SPOOL_HOURS", "0")
    found = Devices(tmp_path)
    with closing(found.services), found.instance:
        found.services.warehouse.prepare()
        yield found


def test_what_is_pushed_is_in_windows_once(devices: Devices) -> None:
    devices.push(TODAY + 7 * HOUR, 100)
    # The same again, as a device does that got no answer.
    devices.push(TODAY + 7 * HOUR, 60)
    devices.drain()
    found = devices.table("window_averages")
    assert found["count"].to_list() == [10] * 10
    assert not found["partial"].any()
    assert found["mean"].to_list() == pytest.approx(
        [sum((10 * n + m) % 7 for m in range(10)) / 10 for n in range(10)]
    )
    before = found
    devices.drain()
    assert devices.table("window_averages").equals(before)
    # With the whole day made again, nothing is different.
    devices.run("windows")
    assert devices.table("window_averages").equals(before)
    devices.now = datetime.now(tz=devices.now.tzinfo) + DAY
    devices.client.settle([])
    assert devices.spool.days(READY, STORED, DONE) == []


def test_a_late_reading_changes_its_window_and_no_other(devices: Devices) -> None:
    devices.push(TODAY + 7 * HOUR, 30)
    devices.push(TODAY + 6 * HOUR, 30)
    devices.drain()
    before = devices.table("window_averages")
    devices.push(TODAY + 6 * HOUR + 5 * SECOND / 2, 1, received=TODAY + 7.9 * HOUR, value=500.0)
    devices.drain()
    changed = devices.table("window_averages")
    assert changed.filter(pl.col("late") == 0).equals(before.slice(1))
    [row] = changed.filter(pl.col("late") > 0).iter_rows(named=True)
    assert (row["window_start"], row["count"], row["maximum"]) == (TODAY + 6 * HOUR, 11, 500.0)


@pytest.mark.parametrize("moment", ["before the rename", "before the windows"])
def test_a_kill_loses_nothing_and_doubles_nothing(
    devices: Devices, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    devices.push(TODAY + 7 * HOUR, 30)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "before the rename":
            patch.setattr(devices.client, "stored", die)
        else:
            patch.setattr(devices.services.warehouse, "replace", die)
        with pytest.raises(Killed):
            devices.drain()
    devices.client._taken.clear()
    state = READY if moment == "before the rename" else STORED
    assert len(devices.spool.segments(TODAY.date(), state)) == 1
    devices.push(TODAY + 7 * HOUR + 30 * SECOND, 30)
    devices.drain()
    assert devices.table("window_averages")["count"].to_list() == [10] * 6
    taken = [answer for answer in devices.pulls.read("date=2026-03-10") if answer.status == 200]
    assert len(taken) == 2


def test_hours_days_and_stations_follow(devices: Devices) -> None:
    devices.push(TODAY + 6 * HOUR, 3600, sensor="temperature")
    devices.push(TODAY + 6 * HOUR, 1800, device="2", sensor="heart_rate")
    devices.push(TODAY + 7 * HOUR, 1800, sensor="temperature")
    devices.drain()
    assert devices.client.newest_hour() == TODAY + 6 * HOUR
    devices.now = TODAY + 8 * HOUR + 14 * SECOND
    assert devices.client.newest_hour() == TODAY + 6 * HOUR
    devices.now += SECOND
    assert devices.client.newest_hour() == TODAY + 7 * HOUR
    devices.run("refresh")
    hours = devices.hours()
    assert hours["station_id"].to_list() == ["city.1", "city.1"]
    assert hours["coverage"].to_list() == pytest.approx([1.0, 0.5], abs=1e-3)
    assert hours["value"][0] == pytest.approx(sum(n % 7 for n in range(3600)) / 3600)
    [station] = devices.table("stations").iter_rows(named=True)
    assert (station["station_id"], station["timezone"]) == ("city.1", "UTC")
    assert set(devices.table("window_averages")["sensor"]) == {"temperature", "heart_rate"}
    daily = devices.services.warehouse.rows("devices", DAILY_AVERAGES)
    assert set(daily.columns) == set(DAILY_AVERAGES.schema)


def test_what_comes_days_late_changes_its_hour(devices: Devices) -> None:
    day = TODAY - 3 * DAY
    devices.push(day + 6 * HOUR, 1800, sensor="pm25", value=10.0)
    devices.drain(day, "late")
    devices.push(
        day + 6 * HOUR + 1800 * SECOND,
        1800,
        received=TODAY + 8 * HOUR,
        sensor="pm25",
        value=20.0,
    )
    devices.drain(day, "late")
    [hour] = devices.hours(day).iter_rows(named=True)
    assert (hour["value"], hour["revision"]) == (15.0, 1)
    assert hour["coverage"] == pytest.approx(1.0)


def test_refused_messages_are_a_table(devices: Devices) -> None:
    writer = SpoolWriter(devices.spool.root, 0.0, 1 << 20, lambda: devices.now, lambda: 0.0)
    refusals = Refusals(
        "city",
        "0123abcd",
        microseconds(devices.now),
        [0, 3],
        ["tag", "body"],
        ["is none"] * 2,
        ["{}"] * 2,
    )
    writer.append([(TODAY.date(), encode(refusals))] * 2)
    writer.close()
    devices.run("readings")
    rows = devices.table("refused_readings")
    assert rows.select("fleet", "key_id", "index", "field").rows() == [
        ("city", "0123abcd", 0, "tag"),
        ("city", "0123abcd", 3, "body"),
    ]


def test_windows_are_kept_as_long_as_the_setting_says(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (TODAY - 2 * DAY, TODAY):
        devices.push(day + 7 * HOUR, 10)
        devices.drain(day)
    monkeypatch.setattr(devices.client.settings, "keep_window_days", 1)
    expire_windows(devices.services, "devices")
    assert devices.table("window_averages")["window_start"].to_list() == [TODAY + 7 * HOUR]


def test_the_sensor_asks_for_the_days_with_news(devices: Devices) -> None:
    sensor = devices.defs.resolve_sensor_def("devices_drain")

    def tick(cursor: str | None = None) -> dg.SensorResult:
        context = dg.build_sensor_context(devices.instance, cursor=cursor, definitions=devices.defs)
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    assert tick().run_requests == []
    devices.push(TODAY + 7 * HOUR, 10)
    devices.push(TODAY - 5 * DAY + 7 * HOUR, 10, received=TODAY + 7 * HOUR)
    result = tick()
    assert [(r.job_name, r.partition_key) for r in result.run_requests or ()] == [
        ("devices_late", "2026-03-05"),
        ("devices_windows", "2026-03-10"),
    ]
    assert all(PENDING_ONLY in request.tags for request in result.run_requests or ())


@pytest.mark.parametrize("table", OF_DEVICES, ids=lambda table: table.name)
def test_columns_are_made_from_columns_of_raw_pulls(devices: Devices, table: Table) -> None:
    node = devices.defs.resolve_asset_graph().get(dg.AssetKey(["devices", table.name]))
    lineage = node.metadata["dagster/column_lineage"].deps_by_column
    assert lineage.keys() <= set(table.schema)
    sources = {source for made_from in lineage.values() for source in made_from}
    assert {source.asset_key for source in sources} == node.parent_keys
    assert {source.column_name for source in sources} <= set(RAW_PULLS.schema)
