"""How assets are stored: raw pulls and Parquet in the object store, tables in the warehouse.

Assets of long ranges hand over a stream, so that memory is bounded by a chunk of days. Every
partition is written whole or not at all, and writing it again replaces it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import dagster as dg
import polars as pl

from aq_resources.attribution import file_metadata, station_attributions
from aq_resources.failures import PermanentFailure
from aq_resources.object_store import ObjectStore
from aq_resources.raw_pulls import RawAnswer, RawPullStore
from aq_resources.tables import WAREHOUSE_TABLES
from aq_resources.warehouse import Warehouse
from aq_science.windows import DAY, HOUR, Window

# Dagster's keys of hourly partitions.
HOUR_KEY = "%Y-%m-%d-%H:%M"

Metadata = Mapping[str, Any]


def _none() -> Metadata:
    return {}


def _no_details(_frame: pl.DataFrame) -> Mapping[date, Metadata]:
    return {}


@dataclass
class AnswerStream:
    """Raw answers as they arrive.

    After the last one ``details`` is asked for the metadata of every partition, ``summary`` for
    that of the run as a whole.
    """

    answers: Iterator[RawAnswer]
    summary: Callable[[], Metadata] = _none
    details: Callable[[], Metadata] = _none


@dataclass
class FrameStream:
    """Frames of consecutive windows that each hold whole partitions, in order; a window that comes
    twice counts as it came last.

    ``details`` gives the numbers that the UI plots for each day of a chunk, ``summary`` what
    belongs to the run as a whole, asked for after the last chunk; ``progress`` is told of each
    window done.
    """

    chunks: Iterator[tuple[Window, pl.DataFrame]]
    details: Callable[[pl.DataFrame], Mapping[date, Metadata]] = _no_details
    summary: Callable[[], Metadata] = _none
    progress: Callable[[Window], None] = field(default=lambda window: None)


@dataclass(frozen=True)
class DayFiles:
    """The daily Parquet files of one asset; opened only when read."""

    store: ObjectStore
    root: str
    filename: str
    schema: pl.Schema

    def key(self, day: date) -> str:
        """Key of the file of one UTC day."""
        return f"{self.root}/date={day}/{self.filename}"

    def scan(self, window: Window) -> pl.LazyFrame:
        """Rows of the days that ``window`` touches, as far as they were ever materialized."""
        present = set(self.days())
        return self.scan_days([day for day in window.dates if day in present])

    def scan_days(self, days: Sequence[date]) -> pl.LazyFrame:
        """Rows of days that have a file."""
        found = [self.store.uri(self.key(day)) for day in days]
        if not found:
            return self.schema.to_frame().lazy()
        return pl.scan_parquet(
            found, schema=self.schema, storage_options=self.store.storage_options or None
        )

    def missing(self, window: Window) -> list[date]:
        """Days of ``window`` that were never materialized.

        Raises `PermanentFailure` that names a key where that is all of them.
        """
        present = set(self.days())
        missing = [day for day in window.dates if day not in present]
        if missing and len(missing) == len(window.dates):
            raise PermanentFailure(
                f"{self.store.uri(self.key(missing[0]))} does not exist. Materialize {self.root} "
                f"for {missing[0]} first."
            )
        return missing

    def days(self, since: date | None = None) -> list[date]:
        """Days that have a file, in order; with ``since``, from that day on."""
        names = self.store.folders(self.root, f"date={since - DAY}" if since is not None else "")
        return [date.fromisoformat(name.removeprefix("date=")) for name in names]


def file_name(asset: str) -> str:
    """``hourly_readings`` keeps ``readings.parquet``, ``forecast_models`` ``models.parquet``."""
    return f"{asset.rsplit('_', 1)[-1]}.parquet"


class S3IOManager(dg.IOManager):
    """Raw pulls as compressed JSON lines, frames as one Parquet file a day.

    ``schemas``: the declared schema by asset name. Assets named in ``published`` can be queried in
    the warehouse as a view over their files.
    """

    def __init__(
        self,
        store: ObjectStore,
        warehouse: Warehouse,
        schemas: Mapping[str, pl.Schema],
        published: frozenset[str] = frozenset({"hourly_readings"}),
    ) -> None:
        self.store = store
        self.warehouse = warehouse
        self.schemas = schemas
        self.published = published

    def handle_output(self, context: dg.OutputContext, obj: AnswerStream | FrameStream) -> None:
        """Store the stream and attach address, rows, schema and checksum."""
        network, name = context.asset_key.path
        if isinstance(obj, AnswerStream):
            metadata = self._write_answers(network, obj)
            details = obj.details()
            days = dict.fromkeys(context.asset_partition_keys, details)
            _attach(context, days, {**obj.summary(), **metadata})
        elif isinstance(obj, FrameStream):
            self._write_frames(context, network, name, obj)
        else:
            raise TypeError(f"{name}: cannot store a {type(obj).__name__}")

    def load_input(self, context: dg.InputContext) -> RawPullStore | DayFiles:
        """A handle that reads what it is asked for; nothing is read yet."""
        network, name = context.asset_key.path
        if name == "raw_pulls":
            return RawPullStore(self.store, network)
        return self.day_files(network, name)

    def day_files(self, network: str, name: str) -> DayFiles:
        """The files of one asset."""
        return DayFiles(self.store, f"{network}/{name}", file_name(name), self.schemas[name])

    def _write_answers(self, network: str, stream: AnswerStream) -> dict[str, Any]:
        pulls = RawPullStore(self.store, network)
        stored = pulls.append(stream.answers)
        metadata: dict[str, Any] = {
            "answers_stored": stored.answers,
            "answers_repeated": stored.repeated,
            "files": len(stored.files),
            "size_bytes": stored.size_bytes,
            "uri": dg.MetadataValue.path(
                stored.files[-1] if stored.files else self.store.uri(pulls.root)
            ),
        }
        return metadata

    def _write_frames(
        self, context: dg.OutputContext, network: str, name: str, stream: FrameStream
    ) -> None:
        files = self.day_files(network, name)
        sizes: dict[date, tuple[int, int]] = {}
        details: dict[str, Metadata] = {}
        attributions = station_attributions(self.warehouse, network)
        for window, frame in stream.chunks:
            if frame.schema != files.schema:
                raise PermanentFailure(
                    f"{network}/{name}: the frame does not have the declared schema: "
                    f"{_difference(frame.schema, files.schema)}"
                )
            numbers = stream.details(frame)
            for day, part in _by_day(window, frame):
                stations = part["station_id"].unique().cast(pl.String).to_list()
                data = parquet_bytes(part, file_metadata(network, stations, attributions))
                self.store.put(files.key(day), data)
                details[day.isoformat()] = {
                    "dagster/partition_row_count": len(part),
                    **numbers.get(day, {}),
                    "uri": dg.MetadataValue.path(self.store.uri(files.key(day))),
                    "size_bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
                sizes[day] = len(part), len(data)
            stream.progress(window)
        if name in self.published and details:
            self._publish(network, name, files)
        totals = {
            "rows": sum(rows for rows, _ in sizes.values()),
            "partitions": len(sizes),
            "run_size_bytes": sum(size for _, size in sizes.values()),
        }
        _attach(context, details, {**stream.summary(), **totals})

    def _publish(self, network: str, name: str, files: DayFiles) -> None:
        pattern = self.store.uri(f"{files.root}/date=*/{files.filename}")
        self.warehouse.publish_files(network, name, pattern, files.schema.names())


class DuckDBIOManager(dg.IOManager):
    """Tables of the warehouse: a partition's rows are replaced in one transaction."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame | FrameStream) -> None:
        """Replace the run's partitions (or the whole table) by the rows given."""
        network, name = context.asset_key.path
        table = WAREHOUSE_TABLES[name]
        where = {"dagster/table_name": f"{network}.{name}"}
        if isinstance(obj, pl.DataFrame):
            self.warehouse.replace(network, name, table, obj)
            context.add_output_metadata({**where, "dagster/row_count": len(obj)})
            return
        if not isinstance(obj, FrameStream):
            raise TypeError(f"{name}: cannot store a {type(obj).__name__}")
        rows = 0
        details: dict[str, Metadata] = {}
        for window, frame in obj.chunks:
            self.warehouse.replace(network, name, table, frame, self._bounds(table.window, window))
            rows += len(frame)
            numbers = obj.details(frame)
            for start, rows_of in self._by_partition(table.window or "", window, frame):
                key = start.strftime("%Y-%m-%d" if table.window == "date" else HOUR_KEY)
                counted = {"dagster/partition_row_count": rows_of, **where}
                details[key] = {**counted, **numbers.get(start.date(), {})}
            obj.progress(window)
        _attach(context, details, {**obj.summary(), "rows": rows})

    def load_input(self, context: dg.InputContext) -> pl.DataFrame:
        """The whole table (unpartitioned), or the rows of the partitions asked for."""
        network, name = context.asset_key.path
        table = WAREHOUSE_TABLES[name]
        if table.window is None or not context.has_asset_partitions:
            return self.warehouse.table(network, name, table)
        asked = context.asset_partitions_time_window
        bounds = self._bounds(table.window, Window(asked.start, asked.end))
        return self.warehouse.table(network, name, table, bounds)

    @staticmethod
    def _by_partition(
        column: str, window: Window, frame: pl.DataFrame
    ) -> Iterator[tuple[datetime, int]]:
        """Start and number of rows of every partition of the window."""
        counted = dict(frame.group_by(column).len().iter_rows())
        for piece in window.chunks(DAY if column == "date" else HOUR):
            start = piece.start
            yield start, counted.get(start.date() if column == "date" else start, 0)

    @staticmethod
    def _bounds(
        column: str | None, window: Window
    ) -> tuple[date, date] | tuple[datetime, datetime]:
        if column == "date":
            return window.start.date(), window.end.date()
        return window.start, window.end


def _attach(context: dg.OutputContext, details: Mapping[str, Metadata], summary: Metadata) -> None:
    """Metadata of each partition, and of the run as a whole on its last partition alone.

    The event log keeps every entry for ever, and a range of years has a thousand of them.
    """
    last = context.asset_partition_keys[-1]
    step = context.step_context
    for key, metadata in details.items():
        if key != last:
            step.add_asset_metadata(metadata, partition_key=key)
    # What a person looks at comes first.
    step.add_asset_metadata({**summary, **details.get(last, {})}, partition_key=last)


def parquet_bytes(frame: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> bytes:
    """The frame as one Parquet file; the same rows and metadata give the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True, metadata=dict(metadata or {}))
    return buffer.getvalue()


def _by_day(window: Window, frame: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """Every day of the window with its rows, none where there are none."""
    column = "hour" if "hour" in frame.columns else "day"
    day_of = pl.col(column).dt.date() if column == "hour" else pl.col(column)
    parts = {
        key[0]: part.drop("_day")
        for key, part in frame.with_columns(_day=day_of)
        .partition_by("_day", as_dict=True, maintain_order=True)
        .items()
    }
    for day in window.dates:
        yield day, parts.get(day, frame.clear())


def _difference(found: pl.Schema, declared: pl.Schema) -> str:
    wrong = [
        f"{name} is {found.get(name, 'absent')}, declared {dtype}"
        for name, dtype in declared.items()
        if found.get(name) != dtype
    ]
    extra = [f"{name} is not declared" for name in found.keys() - declared.keys()]
    return "; ".join(wrong + extra) or "the order of the columns differs"
