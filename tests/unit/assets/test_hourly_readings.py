"""Hourly readings through their asset and store, with a quality test that looks across midnight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_assets.describe import FILES, SERVICES
from aq_assets.hourly_readings import build_hourly_readings
from aq_assets.raw_pulls import build_raw_pulls
from aq_resources.network_client import Parsed, Problems
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.day_files import DayFiles, parquet_bytes
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_science.quality.core import Suite
from aq_science.quality.suite import STANDARD
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, hourly, versions
from tests.unit.science.made_up_spike import SPIKE

pytestmark = pytest.mark.server

SUITE = Suite((*STANDARD.tests, SPIKE))
KEY = dg.AssetKey(["airqino", "hourly_readings"])
D0, D1, D2, D3 = (MIDNIGHT.date() + n * DAY for n in range(-1, 3))


class Client:
    """A network whose answers are values by hour."""

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        rows = [
            {
                "hour": datetime.fromisoformat(hour),
                "value_native": value,
                "pulled_at": answer.pulled_at,
            }
            for answer in answers
            for hour, value in msgspec.json.decode(answer.body).items()
        ]
        return Parsed(versions(*rows), Problems())

    def close(self) -> None:
        pass


class Platform:
    """One network's raw pulls and hourly readings, from a start date on."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self.services = services
        self.instance = instance
        self.config = services.networks["airqino"]
        services._clients["airqino"] = Client()  # type: ignore[assignment]
        self.pulls = RawPullStore(services.object_store, "airqino")

    @property
    def files(self) -> DayFiles:
        return self.services.files.day_files("airqino", "hourly_readings")

    def pull(self, received: timedelta, **values: float) -> None:
        """An answer of the day of the first hour: values by day and hour, as in `d1_23`."""
        body = {}
        for name, value in values.items():
            number, hour = name.removeprefix("d").split("_")
            body[MIDNIGHT + (int(number) - 1) * DAY + int(hour) * HOUR] = value
        day = min(body).replace(hour=0)
        text = msgspec.json.encode({hour.isoformat(): v for hour, v in body.items()}).decode()
        window = (day, day + DAY)
        pulled_at = MIDNIGHT + 10 * DAY + received
        self.pulls.append([RawAnswer("https://x.invalid", {}, window, pulled_at, 200, text)])

    def run(self, first: date, last: date | None = None) -> set[str]:
        """Clean the days in one run; the days that it reports."""
        hourly_asset = build_hourly_readings(self.config, SUITE)
        result = dg.materialize(
            [build_raw_pulls(self.config), hourly_asset],
            selection=[hourly_asset],
            resources={
                SERVICES: self.services,
                FILES: dg.IOManagerDefinition.hardcoded_io_manager(self.services.files),
            },
            instance=self.instance,
            tags={
                "dagster/asset_partition_range_start": str(first),
                "dagster/asset_partition_range_end": str(last or first),
            },
        )
        return {str(event.partition) for event in result.get_asset_materialization_events()}

    def stored(self, day: date) -> bytes:
        return self.services.object_store.get(self.files.key(day))

    def readings(self) -> pl.DataFrame:
        return self.files.scan_days(self.files.days()).collect()

    def reasons(self, day: date) -> list[list[str]]:
        return self.files.scan_days([day]).collect()["reasons"].to_list()

    def newest(self, day: date) -> dict[str, object]:
        """Metadata of the newest materialization of a day."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(KEY, asset_partitions=[str(day)]), limit=1
        ).records
        materialization = records[0].asset_materialization
        assert materialization is not None
        return {name: entry.value for name, entry in materialization.metadata.items()}


@pytest.fixture
def platform(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    monkeypatch.setenv("AQ_CHUNK_DAYS", "1")
    config = NetworkConfig(name="airqino", start_date=D1, stations=("s1",))
    with (
        closing(Services(Settings(), {"airqino": config})) as services,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Platform(services, instance)


def test_a_late_hour_flags_the_day_beside_it_again_and_that_is_reported(
    platform: Platform,
) -> None:
    platform.pull(0 * HOUR, d1_20=1.0, d1_21=2.0)
    platform.pull(1 * HOUR, d2_0=40.0, d2_5=1.0, d2_20=3.0)
    platform.pull(2 * HOUR, d3_5=1.0)
    assert platform.run(D1, D3) == {str(D1), str(D2), str(D3)}
    assert platform.reasons(D2) == [["made_up"], [], []]
    before = platform.stored(D3)

    platform.pull(3 * HOUR, d1_23=39.0)
    assert platform.run(D1) == {str(D1), str(D2)}
    assert platform.reasons(D2) == [[], [], []]
    told = platform.newest(D2)
    assert told["dagster/partition_row_count"] == 3
    assert told["valid_percent"] == 100.0
    assert told["uri"] == platform.files.store.uri(platform.files.key(D2))
    assert platform.newest(D1)["run"]["rows"] == 3  # type: ignore[index]
    assert platform.stored(D3) == before

    # What changes nothing beside the day is neither written there nor reported.
    platform.pull(4 * HOUR, d1_3=2.0)
    assert platform.run(D1) == {str(D1)}
    # As one run over all of it has it.
    piecewise = platform.readings()
    assert platform.run(D1, D3) == {str(D1), str(D2), str(D3)}
    assert_frame_equal(platform.readings(), piecewise)


@pytest.mark.parametrize("order", [(3, 1, 2), (2, 3, 1)], ids=str)
def test_days_cleaned_one_by_one_are_as_one_run_has_them(
    platform: Platform, order: tuple[int, ...]
) -> None:
    around_midnight = {
        1: {"d1_22": 5.0, "d1_23": 40.0},
        2: {"d2_1": 20.0, "d2_22": 60.0, "d2_23": 2.0},
        3: {"d3_0": 75.0, "d3_1": 20.0, "d3_2": 20.0},
    }
    for number, which in enumerate(order):
        # Pulled and cleaned before the others have come.
        platform.pull(number * HOUR, **around_midnight[which])
        platform.run(MIDNIGHT.date() + (which - 1) * DAY)
    piecewise = platform.readings().drop("pulled_at")
    platform.run(D1, D3)
    assert_frame_equal(platform.readings().drop("pulled_at"), piecewise)
    spikes = piecewise.filter(pl.col("reasons").list.contains("made_up"))
    assert spikes["value"].to_list() == [40.0, 75.0]


def test_days_that_are_no_partitions_or_were_never_cleaned_are_left_alone(
    platform: Platform,
) -> None:
    """The day before the start has a file from a former start date; the third day has none."""
    wrong = parquet_bytes(hourly([1.0], MIDNIGHT - HOUR))
    platform.services.object_store.put(platform.files.key(D0), wrong)
    platform.pull(0 * HOUR, d0_22=7.0)
    platform.pull(1 * HOUR, d1_1=1.0, d1_23=40.0)
    platform.pull(2 * HOUR, d2_1=1.0, d2_23=40.0)
    platform.pull(3 * HOUR, d3_0=1.0)
    assert platform.run(D1, D2) == {str(D1), str(D2)}
    assert platform.files.days() == [D0, D1, D2]
    assert platform.stored(D0) == wrong


def test_a_run_that_fails_half_way_has_reported_the_days_beside_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run again, it would find them as they should be, and their averages would stay behind."""
    platform.pull(0 * HOUR, d1_21=1.0, d1_23=40.0)
    platform.pull(1 * HOUR, d2_5=1.0)
    platform.run(D1, D2)
    first = platform.newest(D1)["sha256"]
    platform.pull(2 * HOUR, d2_0=40.0)
    store, put = platform.services.object_store, type(platform.services.object_store).put

    def full(self: object, key: str, data: bytes, *, overwrite: bool = True) -> None:
        if key == platform.files.key(D2):
            raise OSError("No space left on device")
        put(store, key, data, overwrite=overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "put", full)
        with pytest.raises(OSError, match="No space left"):
            platform.run(D2)
    assert platform.newest(D1)["sha256"] != first
    assert platform.run(D2) == {str(D2)}
    assert platform.reasons(D1) == [[], []]


def test_tests_without_context_read_the_days_of_the_run_alone(platform: Platform) -> None:
    """They cost nothing more: no other day is even listed."""
    asked: list[Window] = []
    folders = platform.pulls.folders
    platform.pull(0 * HOUR, d1_1=1.0)

    def noted(store: RawPullStore, window: Window) -> list[str]:
        asked.append(window)
        return folders(window)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RawPullStore, "folders", noted)
        asset = build_hourly_readings(platform.config, Suite(()))
        dg.materialize(
            [build_raw_pulls(platform.config), asset],
            selection=[asset],
            resources={
                SERVICES: platform.services,
                FILES: dg.IOManagerDefinition.hardcoded_io_manager(platform.services.files),
            },
            instance=platform.instance,
            partition_key=str(D1),
        )
    assert set(asked) == {Window.of_days(D1, D1)}


def test_a_day_beside_is_read_for_once_where_nothing_of_the_runs_own_has_changed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.pull(0 * HOUR, d1_20=1.0)
    platform.pull(1 * HOUR, d2_5=40.0)
    platform.run(D1, D2)
    read: list[Window] = []
    plain = VersionReader.read

    def noted(self: VersionReader, window: Window) -> pl.DataFrame:
        read.append(window)
        return plain(self, window)

    monkeypatch.setattr(VersionReader, "read", noted)
    assert platform.run(D2) == {str(D2)}
    # To decide on the first day what the tests see of the second, then the second with its context.
    assert len(read) == 2
    assert read[0].start == MIDNIGHT + DAY
