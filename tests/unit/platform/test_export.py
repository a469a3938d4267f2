"""Every table as plain Parquet: whole, as in the warehouse, and written again on change alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from functools import partial
from pathlib import Path

import duckdb
import polars as pl
import pytest

from aq_platform import export
from aq_platform.export import EXPORTED, Outcome, export_tables
from aq_resources.failures import SettingsError
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles, by_day, file_name
from aq_resources.stores.object_store import open_object_store
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.windows import Window
from tests.factories import DAY, HOUR, daily_frame, forecast_frame, hourly, station_frame, utc

pytestmark = pytest.mark.server

FIRST, NEXT = utc(2024, 1, 31), utc(2024, 2, 1)
NETWORKS = """
networks:
  airqino: {start_date: 2023-01-01, stations: ["s1", "s2"]}
  openaq: {start_date: 2023-01-01, stations: ["1"]}
"""

TWO = ("daily_averages", "hourly_readings")

Write = Callable[..., Outcome]


def write_day(services: Services, rows: pl.DataFrame, network: str = "airqino") -> None:
    files = DayFiles(
        services.object_store,
        f"{network}/hourly_readings",
        file_name("hourly_readings"),
        HOURLY_READINGS.schema,
    )
    earliest = rows["hour"].min()
    assert isinstance(earliest, datetime)
    first = earliest.replace(hour=0)
    for day, part in by_day(Window(first, first + DAY), rows):
        files.write(day, part, {})
    services.warehouse.publish_files(network, HOURLY_READINGS, files.pattern)


def write_averages(services: Services, day: date, *stations: str, mean: float = 10.0) -> None:
    frames = [daily_frame(day, station=station, mean=mean) for station in stations]
    rows = pl.concat([DAILY_AVERAGES.schema.to_frame(), *frames])
    services.warehouse.replace("airqino", DAILY_AVERAGES, rows, (day, day + DAY))


@contextmanager
def filled(folder: Path) -> Iterator[Services]:
    """Two networks, one of them without readings; hours and days on both sides of a turn."""
    folder.mkdir(exist_ok=True)
    (folder / "networks.yaml").write_text(NETWORKS)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AQ_")]:
            patch.delenv(name)
        patch.setenv("AQ_HOME", str(folder / "home"))
        patch.setenv("AQ_NETWORKS", str(folder / "networks.yaml"))
        found = Services.from_environment()
    with closing(found):
        assert found.invalid_networks == {}
        found.warehouse.replace(
            "airqino", STATIONS, station_frame("s1", "s2", attribution="Ville d'Abidjan")
        )
        for start in (FIRST, NEXT):
            write_day(found, hourly([1.5, 2.5, None, 4.5], start))
        for day in (date(2023, 12, 31), date(2024, 1, 1)):
            write_averages(found, day, "s2", "s1")
        frame = forecast_frame(FIRST, 12.0)
        found.warehouse.replace("airqino", FORECASTS, frame, (FIRST, FIRST + HOUR))
        yield found


def write_to(folder: Path, services: Services, *tables: str, since: date | None = None) -> Outcome:
    outcome = Outcome()
    chosen = services.networks.values()
    written = list(export_tables(services, chosen, tables, folder, since, outcome))
    assert len(written) == outcome.written
    assert all(Path(path).is_file() for path in written)
    return outcome


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Path]]:
    """Everything, once; not to be changed."""
    root = tmp_path_factory.mktemp("exported")
    with filled(root) as services:
        write_to(root / "o'neil", services)
        yield services, root / "o'neil"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with filled(tmp_path) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out of here [1]"


@pytest.fixture
def write(services: Services, folder: Path) -> Write:
    return partial(write_to, folder, services)


def stamps(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*.parquet")
    }


def test_every_table_of_the_contract_is_there(exported: tuple[Services, Path]) -> None:
    _, folder = exported
    assert {path.name.removesuffix(".parquet") for path in folder.iterdir()} <= set(EXPORTED)
    assert set(stamps(folder)) >= {
        "stations/airqino.parquet",
        "stations/openaq.parquet",
        "countries/openaq.parquet",
        "exceedances/airqino.parquet",
        "index_categories.parquet",
        "daily_averages/airqino/2023.parquet",
        "daily_averages/airqino/2024.parquet",
        "hourly_readings/airqino/2024-01.parquet",
        "hourly_readings/airqino/2024-02.parquet",
        "forecasts/airqino/2024-01.parquet",
    }
    assert all(path.suffix == ".parquet" for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["stations", "daily_averages", "hourly_readings", "forecasts"])
def test_engines_without_the_lake_read_the_warehouses_rows(
    exported: tuple[Services, Path], name: str
) -> None:
    import pandas as pd

    services, folder = exported
    columns = ", ".join(EXPORTED[name].schema)
    order = ", ".join(EXPORTED[name].key)
    expected = services.warehouse.read(
        f"SELECT {columns} FROM airqino.{name} ORDER BY {order}"
    ).rows()
    assert expected
    with closing(duckdb.connect(config={"autoload_known_extensions": False})) as plain:
        plain.execute("SET TimeZone = 'UTC'")
        files = f"{folder}/{name}/airqino" + (".parquet" if name == "stations" else "/*.parquet")
        by_duckdb = plain.read_parquet(files).order(order)
        assert by_duckdb.columns == EXPORTED[name].schema.names()
        assert by_duckdb.pl().rows() == expected
    by_polars = pl.read_parquet(files)
    assert by_polars.sort(EXPORTED[name].key).rows() == expected
    # By pyarrow: the whole table, of all networks.
    by_pandas = pd.read_parquet(folder / name)
    assert list(by_pandas.columns) == EXPORTED[name].schema.names()
    assert len(by_pandas) == len(expected)


def test_files_say_units_meaning_and_whom_to_credit(exported: tuple[Services, Path]) -> None:
    _, folder = exported
    said = pl.read_parquet_metadata(folder / "daily_averages/airqino/2024.parquet")
    assert json.loads(said["attribution"]) == {"Ville d'Abidjan": ["s1", "s2"]}
    assert json.loads(said["units"])["columns"]["mean"] == "unit"
    assert json.loads(said["units"])["parameters"]["co"] == "mg/m³"
    assert json.loads(said["descriptions"]).keys() == DAILY_AVERAGES.schema.keys()
    assert json.loads(said["key"]) == list(DAILY_AVERAGES.key)
    assert said["table"] == DAILY_AVERAGES.text


class TestOnlyWhatChanged:
    def test_nothing_is_written_twice(self, exported: tuple[Services, Path]) -> None:
        services, folder = exported
        before = stamps(folder)
        again = write_to(folder, services)
        assert (again.written, again.unchanged, again.removed) == (0, len(before), 0)
        assert stamps(folder) == before

    def test_the_same_rows_written_again_are_no_change(
        self, services: Services, write: Write
    ) -> None:
        write("daily_averages")
        write_averages(services, date(2024, 1, 1), "s1", "s2")
        assert write("daily_averages").written == 0

    def test_a_new_value_changes_the_file_of_its_period(
        self, services: Services, write: Write, folder: Path
    ) -> None:
        write(*TWO)
        before = stamps(folder)
        write_averages(services, date(2024, 1, 1), "s1", "s2", mean=11.0)
        write_day(services, hourly([1.5, 2.5, None, 4.75], NEXT))
        assert write(*TWO).written == 2
        after = stamps(folder)
        assert {name for name in after if after[name] != before[name]} == {
            "daily_averages/airqino/2024.parquet",
            "hourly_readings/airqino/2024-02.parquet",
        }

    def test_a_period_without_rows_loses_its_file_and_other_files_stay(
        self, services: Services, write: Write, folder: Path
    ) -> None:
        write("daily_averages")
        mine = folder / "daily_averages/airqino/notes.txt"
        mine.write_text("mine")
        write_averages(services, date(2023, 12, 31))
        assert write("daily_averages", since=date(2024, 1, 1)).removed == 0
        assert write("daily_averages").removed == 1
        assert set(stamps(folder)) == {"daily_averages/airqino/2024.parquet"}
        assert mine.read_text() == "mine"

    def test_since_leaves_periods_that_ended_before(self, services: Services, write: Write) -> None:
        write(*TWO)
        write_averages(services, date(2023, 12, 31), "s1")
        write_day(services, hourly([9.0], FIRST))
        assert write(*TWO, since=date(2024, 2, 15)).written == 0
        # A part that the day lies in is looked at whole.
        assert write("hourly_readings", since=date(2024, 1, 31)).written == 1

    def test_a_damaged_file_is_written_again(self, write: Write, folder: Path) -> None:
        write("stations")
        (folder / "stations/airqino.parquet").write_bytes(b"PAR1 and no more")
        assert write("stations").written == 1
        assert pl.read_parquet((folder / "stations/airqino.parquet").read_bytes()).height == 2

    def test_another_attribution_is_a_change(self, services: Services, write: Write) -> None:
        write("daily_averages")
        services.warehouse.replace(
            "airqino", STATIONS, station_frame("s1", "s2", attribution="Someone else")
        )
        assert write("daily_averages").written == 2


def test_a_write_that_fails_leaves_the_former_file(
    services: Services, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("daily_averages")
    path = folder / "daily_averages/airqino/2024.parquet"
    before = path.read_bytes()
    write_averages(services, date(2024, 1, 1), "s1", mean=3.0)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("aq_resources.stores.object_store.os.fsync", fail)
        with pytest.raises(Exception, match="disk is full"):
            write("daily_averages")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["2023.parquet", "2024.parquet"]


def test_files_of_an_earlier_version_lack_a_column(
    services: Services, write: Write, folder: Path
) -> None:
    key = "airqino/hourly_readings/date=2024-03-01/readings.parquet"
    path = Path(services.object_store.uri(key))
    path.parent.mkdir(parents=True)
    hourly([1.0], utc(2024, 3, 1)).drop("status").write_parquet(path)
    write("hourly_readings")
    rows = pl.read_parquet((folder / "hourly_readings/airqino/2024-03.parquet").read_bytes())
    assert rows.columns == HOURLY_READINGS.schema.names()
    assert rows["status"].to_list() == [None]


def test_an_unknown_table_is_named(write: Write) -> None:
    with pytest.raises(SettingsError, match=r"--table averages: no such table.*daily_averages"):
        write("averages")


def test_a_part_larger_than_memory_is_sorted_on_disk(
    services: Services, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MEMORY", "60MB")
    names = [f"station-{n:04}" for n in range(400)]
    many = pl.DataFrame({"station_id": names}, {"station_id": pl.Categorical()})
    for start in [utc(2022, 1, 1) + n * DAY for n in range(28)]:
        one = hourly([float(n) for n in range(24)], start).drop("station_id")
        write_day(services, one.join(many, how="cross").select(HOURLY_READINGS.schema.names()))
    write("hourly_readings")
    rows = pl.read_parquet((folder / "hourly_readings/airqino/2022-01.parquet").read_bytes())
    assert rows.height == 28 * 24 * 400
    assert rows.select(HOURLY_READINGS.key).equals(rows.select(HOURLY_READINGS.key).sort(pl.all()))


def test_the_object_store_is_the_place_without_another(
    services: Services, s3_bucket: str, s3: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = s3.endpoint_url  # type: ignore[attr-defined]
    services.object_store = open_object_store(f"s3://{s3_bucket}/aq", endpoint)
    services.warehouse.location = type(services.warehouse.location)(
        services.warehouse.location.url, services.warehouse.location.data_path, True, endpoint
    )
    services.warehouse.close()
    for expected in (2, 0):
        outcome = Outcome()
        written = list(
            export_tables(
                services, services.networks.values(), ["daily_averages"], None, None, outcome
            )
        )
        assert outcome.written == expected
    assert services.object_store.keys("exports") == [
        f"exports/daily_averages/airqino/{year}.parquet" for year in (2023, 2024)
    ]
    assert written == []
    services.object_store.client.close()  # type: ignore[attr-defined]
