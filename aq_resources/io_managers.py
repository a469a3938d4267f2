"""How assets are stored: raw pulls and Parquet in the object store, tables in the warehouse.

Assets of long ranges hand over a stream, so that memory is bounded by a chunk of days. Every
partition is written whole or not at all, and writing it again replaces it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import dagster as dg
import polars as pl

from aq_resources.attribution import file_metadata
from aq_resources.failures import PermanentFailure
from aq_resources.run_failures import failing_as_dagster
from aq_resources.stores.day_files import DayFiles, by_day, file_name
from aq_resources.stores.object_store import ObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.core import Table
from aq_science.tables.raw_pulls import RAW_PULLS
from aq_science.tables.registry import WAREHOUSE_TABLES, WAREHOUSE_VIEWS
from aq_science.windows import DAY, HOUR, Window

# Metadata on a run's last partition: numbers of the run as a whole, which others say of that day.
RUN = "run"
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

    Those that are `distinct` are not compared with what is stored. After the last one is stored,
    `stored` is called, then `details` is asked for the metadata of every partition, `summary` for
    that of the run as a whole.
    """

    answers: Iterator[RawAnswer]
    summary: Callable[[], Metadata] = _none
    details: Callable[[], Metadata] = _none
    distinct: bool = False
    stored: Callable[[], None] = field(default=lambda: None)


class PartitionsLeftOut(PermanentFailure):
    """Some partitions of a stream could not be made; the frames before it are all others."""


@dataclass
class FrameStream:
    """Frames of consecutive windows that each hold whole partitions, in order; a window that comes
    twice counts as it came last. Partitions beside those of the run, which a change within the run
    reaches, are written and reported as well.

    `details` gives the numbers that the UI plots for each day of a chunk, `summary` what belongs to
    the run as a whole, asked for after the last chunk; `progress` is called with each window done.
    """

    chunks: Iterator[tuple[Window, pl.DataFrame]]
    details: Callable[[pl.DataFrame], Mapping[date, Metadata]] = _no_details
    summary: Callable[[], Metadata] = _none
    progress: Callable[[Window], None] = field(default=lambda window: None)


class ObjectStoreIOManager(dg.IOManager):
    """Raw pulls as compressed JSON lines, frames as one Parquet file a day."""

    def __init__(
        self,
        store: ObjectStore,
        warehouse: Warehouse,
        schemas: Mapping[str, pl.Schema],
        attributions: Callable[[str], Mapping[str, str]],
    ) -> None:
        """Opens nothing.

        Args:
            store: Where everything is kept.
            warehouse: Shows the files of some assets as a view.
            schemas: The declared schema by asset name.
            attributions: The attribution of each station of a network, as far as it is known;
                asked once a run.
        """
        self.store = store
        self.warehouse = warehouse
        self.schemas = schemas
        self.attributions = attributions

    @failing_as_dagster
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

    @failing_as_dagster
    def load_input(self, context: dg.InputContext) -> RawPullStore | DayFiles:
        """A handle that reads what it is asked for; nothing is read yet."""
        network, name = context.asset_key.path
        if name == "raw_pulls":
            return RawPullStore(self.store, network)
        return self.day_files(network, name)

    def day_files(self, network: str, name: str) -> DayFiles:
        """The files of one asset."""
        return DayFiles(self.store, f"{network}/{name}", file_name(name), self.schemas[name])

    def _publish(self, network: str, view: Table, files: DayFiles) -> None:
        """Show the files, and the raw pulls that they are made of, in the warehouse."""
        self.warehouse.publish_files(network, view, files.pattern)
        # Not as answers are stored: to keep one must not need the warehouse.
        pulls = RawPullStore(self.store, network)
        if not pulls.is_empty:
            self.warehouse.publish_files(network, RAW_PULLS, pulls.pattern)

    def _write_answers(self, network: str, stream: AnswerStream) -> dict[str, Any]:
        pulls = RawPullStore(self.store, network)
        stored = pulls.append(stream.answers, distinct=stream.distinct)
        stream.stored()
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
        own = frozenset(context.asset_partition_keys)
        sizes: dict[date, tuple[int, int]] = {}
        details: dict[str, Metadata] = {}
        attributions = self.attributions(network)
        failure: PartitionsLeftOut | None = None
        try:
            for window, frame in stream.chunks:
                files.require_schema(frame)
                numbers = stream.details(frame)
                for day, part in by_day(window, frame):
                    stations = stations_of(part, attributions)
                    data = files.write(day, part, file_metadata(network, stations, attributions))
                    key = day.isoformat()
                    metadata: Metadata = {
                        "dagster/partition_row_count": len(part),
                        **numbers.get(day, {}),
                        "uri": dg.MetadataValue.path(self.store.uri(files.key(day))),
                        "size_bytes": len(data),
                        "sha256": hashlib.sha256(data).hexdigest(),
                    }
                    if key in own:
                        details[key] = metadata
                        sizes[day] = len(part), len(data)
                    else:
                        # At once: should the run fail later, nothing would write this day again.
                        context.log_event(
                            dg.AssetMaterialization(
                                context.asset_key, metadata=metadata, partition=key
                            )
                        )
                stream.progress(window)
        except PartitionsLeftOut as error:
            failure = error
        if name in WAREHOUSE_VIEWS and details:
            self._publish(network, WAREHOUSE_VIEWS[name], files)
        if failure is not None:
            # What is written is written, and only what is not has failed.
            for key, metadata in details.items():
                context.log_event(
                    dg.AssetMaterialization(context.asset_key, metadata=metadata, partition=key)
                )
            raise failure
        totals = {
            "partitions": len(sizes),
            "rows": sum(rows for rows, _ in sizes.values()),
            "size_bytes": sum(size for _, size in sizes.values()),
        }
        _attach(context, details, _with_totals(stream.summary(), totals))


def stations_of(frame: pl.DataFrame, known: Mapping[str, str]) -> list[str]:
    """The stations that rows are of; rows of a whole network are of all known ones."""
    if "station_id" not in frame.columns:
        return sorted(known)
    return frame["station_id"].unique().cast(pl.String).to_list()


class DuckDBIOManager(dg.IOManager):
    """Tables of the warehouse: a partition's rows are replaced in one transaction."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    @failing_as_dagster
    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame | FrameStream) -> None:
        """Replace the run's partitions (or the whole table) by the rows given."""
        network, name = context.asset_key.path
        table = WAREHOUSE_TABLES[name]
        where = {"dagster/table_name": f"{network}.{name}"}
        if isinstance(obj, pl.DataFrame):
            self.warehouse.replace(network, table, obj)
            context.add_output_metadata({**where, "dagster/row_count": len(obj)})
            return
        if not isinstance(obj, FrameStream):
            raise TypeError(f"{name}: cannot store a {type(obj).__name__}")
        rows = 0
        details: dict[str, Metadata] = {}
        for window, frame in obj.chunks:
            self.warehouse.replace(network, table, frame, table.bounds(window))
            rows += len(frame)
            numbers = obj.details(frame)
            for start, rows_of in self._by_partition(table, window, frame):
                key = start.strftime("%Y-%m-%d" if table.has_daily_partitions else HOUR_KEY)
                # Of a part of a day, the rows say nothing of the day's.
                counted = (
                    where if table.of_days else {"dagster/partition_row_count": rows_of, **where}
                )
                details[key] = {**counted, **numbers.get(start.date(), {})}
            obj.progress(window)
        totals = {"partitions": len(details), "rows": rows}
        _attach(context, details, _with_totals(obj.summary(), totals))

    @failing_as_dagster
    def load_input(self, context: dg.InputContext) -> pl.DataFrame:
        """The whole table (unpartitioned), or the rows of the partitions asked for."""
        network, name = context.asset_key.path
        table = WAREHOUSE_TABLES[name]
        if context.has_asset_partitions and table.window is not None:
            asked = context.asset_partitions_time_window
            return self.warehouse.rows(network, table, table.bounds(Window(asked.start, asked.end)))
        rows = self.warehouse.rows(network, table)
        if rows.is_empty():
            raise PermanentFailure(
                f"The table {network}.{name} has no rows yet: materialize {network}/{name} first."
            )
        return rows

    @staticmethod
    def _by_partition(
        table: Table, window: Window, frame: pl.DataFrame
    ) -> Iterator[tuple[datetime, int]]:
        """Start and number of rows of every partition of the window."""
        of_days = table.has_daily_partitions
        column = pl.col(table.window or "")
        part = column.cast(pl.Date) if of_days else column
        counted = dict(frame.group_by(part).len().iter_rows())
        for piece in window.chunks(DAY if of_days else HOUR):
            start = piece.start
            yield start, counted.get(start.date() if of_days else start, 0)


def _with_totals(summary: Metadata, totals: Mapping[str, int]) -> Metadata:
    """A run's metadata, with what was written of it among its numbers."""
    return {**summary, RUN: {**totals, **summary.get(RUN, {})}}


def _attach(context: dg.OutputContext, details: Mapping[str, Metadata], summary: Metadata) -> None:
    """Metadata of each partition, and of the run as a whole on its last partition alone.

    The event log keeps every entry, and a range of years has a thousand of them.
    """
    last = context.asset_partition_keys[-1]
    step = context.step_context
    for key, metadata in details.items():
        if key != last:
            step.add_asset_metadata(metadata, partition_key=key)
    # What a person looks at comes first.
    step.add_asset_metadata({**summary, **details.get(last, {})}, partition_key=last)
