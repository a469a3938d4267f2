"""IO managers in real runs: whole partitions, the same bytes again, and what the UI is told."""

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_resources.attribution import station_attributions
from aq_resources.failures import PermanentFailure
from aq_resources.io_managers import (
    AnswerStream,
    DuckDBIOManager,
    FrameStream,
    ObjectStoreIOManager,
    PartitionsLeftOut,
)
from aq_resources.networks.airqino import ATTRIBUTION as AIRQINO
from aq_resources.stores.day_files import DayFiles, file_name, parquet_bytes
from aq_resources.stores.object_store import LocalObjectStore, ObjectStore, S3ObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.forecasting.select import fit_models
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.registry import WAREHOUSE_TABLES
from aq_science.tables.stations import STATIONS
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, answer, daily_frame, hourly, station_frame

DAYS = dg.DailyPartitionsDefinition("2024-03-01", end_date="2024-03-11", timezone="UTC")
D1, D2, D3 = (date(2024, 3, n) for n in (1, 2, 3))
KEY = "airqino/hourly_readings/date=2024-03-0{}/readings.parquet"


@contextmanager
def opened_warehouse(folder: Path, store: ObjectStore) -> Iterator[Warehouse]:
    """Rows on this machine, beside hourly files where the store is."""
    with closing(
        Warehouse(
            WarehouseLocation(
                f"ducklake:sqlite:{folder}/lake.sqlite",
                f"{folder}/rows",
                uses_s3=isinstance(store, S3ObjectStore),
                s3_endpoint_url=getattr(store, "endpoint_url", None),
            ),
            networks={"airqino": tuple(WAREHOUSE_TABLES.values())},
        )
    ) as opened:
        yield opened


@pytest.fixture
def warehouse(tmp_path: Path, local: LocalObjectStore) -> Iterator[Warehouse]:
    with opened_warehouse(tmp_path, local) as opened:
        yield opened


def run(
    name: str,
    make: Callable[[Window], Any],
    manager: dg.IOManager,
    first: date | None = None,
    last: date | None = None,
    instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """One run of an asset `airqino/<name>` over the days, as the platform does it."""

    @dg.asset(
        name=name,
        key_prefix=["airqino"],
        partitions_def=None if first is None else DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="manager",
    )
    def made(context: dg.AssetExecutionContext) -> Any:
        if first is None:
            return make(Window(MIDNIGHT, MIDNIGHT))
        asked = context.partition_time_window
        return make(Window(asked.start, asked.end))

    key = first.isoformat() if first is not None and last is None else None
    tags = None
    if last is not None:
        tags = {
            "dagster/asset_partition_range_start": str(first),
            "dagster/asset_partition_range_end": str(last),
        }
    return dg.materialize(
        [made],
        resources={"manager": dg.IOManagerDefinition.hardcoded_io_manager(manager)},
        instance=instance,
        raise_on_error=True,
        partition_key=key,
        tags=tags,
    )


def load(name: str, manager: dg.IOManager, first: date, last: date) -> Any:
    """What a downstream asset of these days would get."""
    keys = dg.PartitionKeyRange(first.isoformat(), last.isoformat())
    return manager.load_input(
        dg.build_input_context(
            asset_key=["airqino", name], asset_partitions_def=DAYS, asset_partition_key_range=keys
        )
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """By partition: the value of every entry of its materialization."""
    return {
        event.partition or "": {
            name: entry.value for name, entry in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def readings(window: Window, value: float = 1.0) -> pl.DataFrame:
    hours = int((window.end - window.start) / HOUR)
    return hourly([value] * hours, window.start, pulled_at=MIDNIGHT + 30 * DAY)


def stream(window: Window, value: float = 1.0) -> FrameStream:
    return FrameStream((part, readings(part, value)) for part in window.chunks(2 * DAY))


@pytest.fixture
def files(tmp_path: Path, store: ObjectStore) -> Iterator[ObjectStoreIOManager]:
    """On both kinds of store; the view over them is tested with the warehouse."""
    schemas = {"hourly_readings": HOURLY_READINGS.schema}
    with opened_warehouse(tmp_path, store) as warehouse:
        yield ObjectStoreIOManager(
            store,
            warehouse,
            schemas,
            lambda network: station_attributions(warehouse, network),
        )


@pytest.fixture
def local_files(local: LocalObjectStore, warehouse: Warehouse) -> ObjectStoreIOManager:
    schemas = {"hourly_readings": HOURLY_READINGS.schema}
    return ObjectStoreIOManager(local, warehouse, schemas, lambda network: {})


def test_frames_come_back_as_they_were(files: ObjectStoreIOManager) -> None:
    run("hourly_readings", stream, files, D1, D3)
    days: DayFiles = load("hourly_readings", files, D1, D3)
    found = days.scan(Window.of_days(D1, D3)).collect()
    assert_frame_equal(found, readings(Window.of_days(D1, D3)))
    assert days.days() == [D1, D2, D3]
    middle = days.scan(Window.of_days(D2, D2)).collect()
    assert_frame_equal(middle, readings(Window.of_days(D2, D2)))


def test_range_is_one_run_with_a_file_and_a_checksum_each_day(files: ObjectStoreIOManager) -> None:
    told = metadata(run("hourly_readings", stream, files, D1, D3))
    assert list(told) == ["2024-03-01", "2024-03-02", "2024-03-03"]
    assert files.store.keys("airqino") == [KEY.format(n) for n in (1, 2, 3)]
    for n, entry in enumerate(told.values(), 1):
        data = files.store.get(KEY.format(n))
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["dagster/partition_row_count"] == 24
        assert entry["uri"] == files.store.uri(KEY.format(n))
        assert entry["size_bytes"] == len(data)
    assert told["2024-03-03"]["run"]["rows"] == 72


def test_run_again_gives_the_same_bytes(local_files: ObjectStoreIOManager) -> None:
    """Also as part of another range, cut otherwise."""
    store = local_files.store
    run("hourly_readings", stream, local_files, D1, D3)
    before = [store.get(KEY.format(n)) for n in (1, 2, 3)]
    run("hourly_readings", stream, local_files, D2)
    run("hourly_readings", stream, local_files, D1, D3)
    assert [store.get(KEY.format(n)) for n in (1, 2, 3)] == before


def attribution(data: bytes) -> Any:
    return json.loads(pl.read_parquet_metadata(io.BytesIO(data))["attribution"])


def test_every_file_says_whom_to_name_for_its_stations(files: ObjectStoreIOManager) -> None:
    run("hourly_readings", stream, files, D1)
    known = station_frame("s1", attribution="Ministère (CC BY 4.0)")
    files.warehouse.replace("airqino", STATIONS, known)
    run("hourly_readings", lambda window: named_stream(window, "s1", "s2"), files, D2)
    run("hourly_readings", named_stream, files, D3)
    found = [attribution(files.store.get(KEY.format(n))) for n in (1, 2, 3)]
    assert found == [
        {AIRQINO: ["s1"]},
        {AIRQINO: ["s2"], "Ministère (CC BY 4.0)": ["s1"]},
        {AIRQINO: []},
    ]
    scanned = load("hourly_readings", files, D1, D3).scan(Window.of_days(D1, D3))
    assert scanned.collect_schema() == HOURLY_READINGS.schema


def named_stream(window: Window, *stations: str) -> FrameStream:
    rows = [hourly([1.0], window.start, station=name) for name in stations]
    return FrameStream(iter([(window, pl.concat([*rows, hourly([])]))]))


def test_other_readers_find_whom_to_name(local_files: ObjectStoreIOManager) -> None:
    run("hourly_readings", stream, local_files, D1)
    path = local_files.store.uri(KEY.format(1))
    with closing(duckdb.connect()) as connection:
        found = connection.execute(
            "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = 'attribution'",
            [path],
        ).fetchone()
    assert found == (json.dumps({AIRQINO: ["s1"]}, ensure_ascii=False),)


def test_bytes_do_not_depend_on_what_else_the_process_has_seen() -> None:
    """Station names are numbered as they come; the file must not show in which order that was."""
    script = (
        "import hashlib, sys, polars as pl\n"
        "for name in sys.argv[1:]:\n"
        "    pl.Series([name], dtype=pl.Categorical())\n"
        "from aq_resources.stores.day_files import parquet_bytes\n"
        "from tests.factories import hourly\n"
        "frame = pl.concat([hourly([1.0], station=s) for s in ('a', 'b', 'c')])\n"
        "print(hashlib.sha256(parquet_bytes(frame)).hexdigest())\n"
    )
    root = Path(__file__).resolve().parents[3]
    seen = {
        subprocess.run(
            [sys.executable, "-c", script, *names],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for names in ([], ["c", "x", "b", "µg/m³"])
    }
    assert len(seen) == 1


def test_day_without_rows_is_written_all_the_same(files: ObjectStoreIOManager) -> None:
    def only_the_second(window: Window) -> FrameStream:
        return FrameStream(iter([(window, readings(Window.of_days(D2, D2)))]))

    told = metadata(run("hourly_readings", only_the_second, files, D1, D3))
    assert [e["dagster/partition_row_count"] for e in told.values()] == [0, 24, 0]
    days: DayFiles = load("hourly_readings", files, D1, D1)
    assert days.days() == [D1, D2, D3]
    empty = days.scan(Window.of_days(D1, D1)).collect()
    assert empty.is_empty()
    assert empty.schema == HOURLY_READINGS.schema


def test_days_never_made_are_left_out_of_a_scan_and_named_when_missing(
    files: ObjectStoreIOManager,
) -> None:
    run("hourly_readings", stream, files, D2)
    days: DayFiles = load("hourly_readings", files, D1, D3)
    assert len(days.scan(Window.of_days(D1, D3)).collect()) == 24
    assert days.missing(Window.of_days(D1, D3)) == [D1, D3]
    assert days.missing(Window.of_days(D2, D2)) == []
    nothing = days.scan(Window.of_days(D3, D3)).collect()
    assert nothing.schema == HOURLY_READINGS.schema
    with pytest.raises(PermanentFailure) as raised:
        days.missing(Window.of_days(D3, D3))
    assert files.store.uri(KEY.format(3)) in raised.value.message
    assert "Materialize airqino/hourly_readings for 2024-03-03" in raised.value.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            lambda f: f.with_columns(pl.col("value").cast(pl.Float32)),
            "value is Float32, declared Float64",
            id="type",
        ),
        pytest.param(lambda f: f.drop("coverage"), "coverage is absent", id="absent"),
        pytest.param(lambda f: f.with_columns(x=1), "x is not declared", id="surplus"),
        pytest.param(lambda f: f.select(sorted(f.columns)), "order of the columns", id="order"),
    ],
)
def test_frame_of_another_schema_is_refused(
    local_files: ObjectStoreIOManager, change: Callable, says: str
) -> None:
    def wrong(window: Window) -> FrameStream:
        return FrameStream(iter([(window, change(readings(window)))]))

    with pytest.raises(dg.Failure, match=says):
        run("hourly_readings", wrong, local_files, D1)
    assert local_files.store.keys("airqino") == []


def test_failure_half_way_keeps_the_days_done_and_the_old_ones(
    local_files: ObjectStoreIOManager,
) -> None:
    run("hourly_readings", stream, local_files, D1, D3)

    def broken(window: Window) -> FrameStream:
        def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
            first, *_ = window.chunks(DAY)
            yield first, readings(first, 9.0)
            raise RuntimeError("half way")

        return FrameStream(chunks())

    with pytest.raises(RuntimeError, match="half way"):
        run("hourly_readings", broken, local_files, D1, D3)
    days: DayFiles = load("hourly_readings", local_files, D1, D3)
    values = days.scan(Window.of_days(D1, D3)).select("value").collect()["value"]
    assert values.to_list() == [9.0] * 24 + [1.0] * 48


def test_of_a_range_with_days_left_out_the_others_are_materialized(
    local_files: ObjectStoreIOManager,
) -> None:
    def without_the_second(window: Window) -> FrameStream:
        def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
            for day in (D1, D3):
                yield Window.of_days(day, day), readings(Window.of_days(day, day))
            raise PartitionsLeftOut("2024-03-02 stays as it was")

        return FrameStream(chunks())

    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.Failure, match="stays as it was"):
            run("hourly_readings", without_the_second, local_files, D1, D3, instance)
        made = instance.get_materialized_partitions(dg.AssetKey(["airqino", "hourly_readings"]))
    assert made == {"2024-03-01", "2024-03-03"}


def test_details_summary_and_progress_are_told(local_files: ObjectStoreIOManager) -> None:
    done: list[Window] = []

    def told_all(window: Window) -> FrameStream:
        return FrameStream(
            ((part, readings(part)) for part in window.chunks(DAY)),
            details=lambda part: {part["hour"][0].date(): {"highest": part["value"].max()}},
            summary=lambda: {"whole": "run"},
            progress=done.append,
        )

    told = metadata(run("hourly_readings", told_all, local_files, D1, D3))
    assert [entry["highest"] for entry in told.values()] == [1.0] * 3
    # What belongs to the run as a whole is kept once.
    assert [entry.get("whole") for entry in told.values()] == [None, None, "run"]
    assert done == [Window.of_days(day, day) for day in (D1, D2, D3)]


def test_files_can_be_queried_in_the_warehouse(
    local_files: ObjectStoreIOManager, warehouse: Warehouse
) -> None:
    run("hourly_readings", stream, local_files, D1)
    run("hourly_readings", stream, local_files, D2, D3)
    rows = warehouse.read(
        "SELECT count(*) AS n, min(network) AS n FROM air_quality.hourly_readings"
    )
    assert rows.row(0) == (72, "airqino")


def test_answers_are_appended_and_counted(files: ObjectStoreIOManager) -> None:
    def pulled(window: Window) -> AnswerStream:
        return AnswerStream(
            iter([answer("a", station="s1"), answer("b", station="s2")]), lambda: {"requests": 2}
        )

    first = metadata(run("raw_pulls", pulled, files, D1))["2024-03-01"]
    again = metadata(run("raw_pulls", pulled, files, D1))["2024-03-01"]
    counted = ("answers_stored", "answers_repeated", "files", "requests")
    assert [first[name] for name in counted] == [2, 0, 1, 2]
    assert [again[name] for name in counted] == [0, 2, 0, 2]
    store: RawPullStore = load("raw_pulls", files, D1, D1)
    (folder,) = store.folders(Window.of_days(D1, D1))
    assert [one.body for one in store.read(folder)] == ["a", "b"]


def test_answers_that_came_before_a_failure_are_kept(local_files: ObjectStoreIOManager) -> None:
    def broken(window: Window) -> AnswerStream:
        def answers() -> Iterator[RawAnswer]:
            yield answer("a")
            raise PermanentFailure("every station refused")

        return AnswerStream(answers())

    with pytest.raises(dg.Failure, match="refused"):
        run("raw_pulls", broken, local_files, D1)
    store: RawPullStore = load("raw_pulls", local_files, D1, D1)
    assert len(store.folders(Window.of_days(D1, D1))) == 1


@pytest.mark.parametrize("kind", ["files", "tables"])
def test_anything_else_is_refused(
    kind: str, local_files: ObjectStoreIOManager, warehouse: Warehouse
) -> None:
    manager = local_files if kind == "files" else DuckDBIOManager(warehouse)
    name = "hourly_readings" if kind == "files" else "daily_averages"
    with pytest.raises(TypeError, match="cannot store a dict"):
        run(name, lambda window: {}, manager, D1)


@pytest.mark.parametrize(
    ("asset", "name"),
    [("hourly_readings", "readings.parquet"), ("forecast_models", "models.parquet")],
)
def test_file_name(asset: str, name: str) -> None:
    assert file_name(asset) == name


def test_a_file_with_the_columns_of_another_version_counts_as_absent(
    local_files: ObjectStoreIOManager, caplog: pytest.LogCaptureFixture
) -> None:
    root = "airqino/forecast_models"
    files = DayFiles(local_files.store, root, "models.parquet", FORECAST_MODELS.schema)
    models = fit_models(readings=forecast_input(), day=D2, series=forecast_input())
    files.write(D2, models, {})
    files.write(D1, models.rename({"candidates": "rungs"}), {})
    window = Window.of_days(D1, D3)
    assert files.current(window) == [D2]
    assert files.key(D1) in caplog.text
    assert_frame_equal(files.scan_days(files.current(window)).collect(), models)


def forecast_input() -> pl.DataFrame:
    return hourly([10.0] * 48, MIDNIGHT - 2 * DAY).select(
        "station_id", "parameter", "hour", "value", "flag"
    )


def test_parquet_of_no_rows_keeps_the_schema() -> None:
    assert pl.read_parquet(parquet_bytes(hourly([]))).schema == HOURLY_READINGS.schema


# Tables


def days_stream(mean: float) -> Callable[[Window], FrameStream]:
    return lambda window: FrameStream(
        (part, daily_frame(*part.dates, mean=mean)) for part in window.chunks(2 * DAY)
    )


def test_partitions_of_a_table_are_replaced_and_loaded(warehouse: Warehouse) -> None:
    tables = DuckDBIOManager(warehouse)
    told = metadata(run("daily_averages", days_stream(1.0), tables, D1, D3))
    assert [e["dagster/partition_row_count"] for e in told.values()] == [1, 1, 1]
    assert {e["dagster/table_name"] for e in told.values()} == {"airqino.daily_averages"}
    run("daily_averages", days_stream(2.0), tables, D2)
    found = load("daily_averages", tables, D1, D2).sort("date")
    expected = pl.concat([daily_frame(D1, mean=1.0), daily_frame(D2, mean=2.0)])
    assert_frame_equal(found, expected)
    assert len(load("daily_averages", tables, D1, D3)) == 3


def test_day_without_rows_is_counted_and_empties_the_table(warehouse: Warehouse) -> None:
    tables = DuckDBIOManager(warehouse)
    run("daily_averages", days_stream(1.0), tables, D1, D2)
    nothing = daily_frame()
    told = metadata(run("daily_averages", lambda w: FrameStream(iter([(w, nothing)])), tables, D1))
    assert told["2024-03-01"]["dagster/partition_row_count"] == 0
    assert load("daily_averages", tables, D1, D2)["date"].to_list() == [D2]


def test_table_without_partitions_is_replaced_whole(warehouse: Warehouse) -> None:
    tables = DuckDBIOManager(warehouse)
    run("stations", lambda window: station_frame("s1", "s2"), tables)
    told = metadata(run("stations", lambda window: station_frame("s2"), tables))
    assert told[""]["dagster/row_count"] == 1
    context = dg.build_input_context(asset_key=["airqino", "stations"])
    assert_frame_equal(tables.load_input(context), station_frame("s2"))


def test_table_never_made_is_named_with_the_mend(warehouse: Warehouse) -> None:
    tables = DuckDBIOManager(warehouse)
    context = dg.build_input_context(asset_key=["airqino", "stations"])
    with pytest.raises(dg.Failure, match="materialize airqino/stations first"):
        tables.load_input(context)
    assert load("daily_averages", tables, D1, D1).is_empty()
