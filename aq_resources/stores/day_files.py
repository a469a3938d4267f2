"""One Parquet file a UTC day of an asset, in the object store."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from glob import escape

import polars as pl

from aq_resources.failures import PermanentFailure
from aq_resources.stores.foreign import own_names
from aq_resources.stores.object_store import ObjectStore, Version
from aq_science.windows import DAY, Window

_log = logging.getLogger(__name__)
# Without `?`, which would begin the query of an address of S3.
_EACH_DAY = "date=" + "-".join("[0-9]" * length for length in (4, 2, 2))
_AT_ONCE = 8
_FOLDER = re.compile(r"date=\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class DayFiles:
    """The daily files of one asset; opened only when read.

    Attributes:
        store: Where they are.
        root: Folder of the asset, `<network>/<asset>`.
        filename: Name of the file in each day's folder.
        schema: Declared columns, in order.
    """

    store: ObjectStore
    root: str
    filename: str
    schema: pl.Schema

    def key(self, day: date) -> str:
        """Key of the file of one UTC day."""
        return f"{self.root}/date={day}/{self.filename}"

    def exists(self, day: date) -> bool:
        """Whether the day was ever materialized."""
        return self.store.exists(self.key(day))

    @property
    def pattern(self) -> str:
        """Address of all the files, with a pattern for the day."""
        return f"{escape(self.store.uri(self.root))}/{_EACH_DAY}/{self.filename}"

    def scan(self, window: Window) -> pl.LazyFrame:
        """Rows of the days that the window touches, as far as they were ever materialized."""
        present = set(self.days(since=window.start.date()))
        return self.scan_days([day for day in window.dates if day in present])

    def scan_days(self, days: Sequence[date]) -> pl.LazyFrame:
        """Rows of days that have a file."""
        found = [self.store.uri(self.key(day)) for day in days]
        if not found:
            return self.schema.to_frame().lazy()
        return pl.scan_parquet(
            found,
            schema=self.schema,
            storage_options=self.store.storage_options or None,
            glob=False,
            # A file of an earlier version may have had yet to learn of a column.
            missing_columns="insert",
        )

    def current(self, window: Window) -> list[date]:
        """Days of the window whose file has the declared columns.

        A file of an earlier version of this software with other columns counts as absent: what is
        derived is derived again rather than converted.
        """
        present = set(self.days(since=window.start.date()))
        days = [day for day in window.dates if day in present]
        # Each is a wait for the object store.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            declared = list(pool.map(self._is_declared, days))
        return [day for day, fits in zip(days, declared, strict=True) if fits]

    def _is_declared(self, day: date) -> bool:
        uri = self.store.uri(self.key(day))
        options = self.store.storage_options or None
        found = pl.scan_parquet(uri, storage_options=options, glob=False).collect_schema()
        if found != self.schema:
            _log.warning("%s has the columns of another version and is left out.", uri)
        return found == self.schema

    def missing(self, window: Window, reach: Window | None = None) -> list[date]:
        """Days of the window that were never materialized.

        Args:
            window: Some UTC days.
            reach: The hours that are read for them, where these are more.

        Returns:
            The days, in order.

        Raises:
            PermanentFailure: there is nothing at all to read; it names a key of the window.
        """
        read = reach or window
        present = set(self.days(since=min(read.start, window.start).date()))
        missing = [day for day in window.dates if day not in present]
        if missing and present.isdisjoint(read.dates):
            raise PermanentFailure(
                f"{self.store.uri(self.key(missing[0]))} does not exist. Materialize {self.root} "
                f"for {missing[0]} first."
            )
        return missing

    def days(self, since: date | None = None) -> list[date]:
        """Days that have a file, in order; with `since`, from that day on."""
        names = self.store.folders(self.root, f"date={since - DAY}" if since is not None else "")
        own = own_names(self.root, names, _FOLDER)
        return [date.fromisoformat(name.removeprefix("date=")) for name in own]

    def versions(self, since: date) -> dict[date, Version]:
        """Days from `since` on that have a file, each with what changes when it is written."""
        listed = self.store.versions(self.root, f"date={since - DAY}")
        files = {key.split("/")[-2]: one for key, one in listed.items() if self._is_file(key)}
        own = own_names(self.root, list(files), _FOLDER)
        return {date.fromisoformat(name.removeprefix("date=")): files[name] for name in own}

    def _is_file(self, key: str) -> bool:
        return key.removeprefix(f"{self.root}/").count("/") == 1 and key.endswith(
            f"/{self.filename}"
        )

    def require_schema(self, frame: pl.DataFrame) -> None:
        """Refuse rows that have other columns than declared.

        Raises:
            PermanentFailure: with what is different.
        """
        if frame.schema != self.schema:
            raise PermanentFailure(
                f"{self.root}: the frame does not have the declared schema: "
                f"{_difference(frame.schema, self.schema)}"
            )

    def write(self, day: date, frame: pl.DataFrame, metadata: Mapping[str, str]) -> bytes:
        """Write the file of one day, whole, in place of an older one.

        Args:
            day: The UTC day.
            frame: Its rows.
            metadata: Key-value metadata of the Parquet file.

        Returns:
            The bytes written.
        """
        data = parquet_bytes(frame, metadata)
        self.store.put(self.key(day), data)
        return data


def file_name(asset: str) -> str:
    """`hourly_readings` keeps `readings.parquet`, `forecast_models` `models.parquet`."""
    return f"{asset.rsplit('_', 1)[-1]}.parquet"


def parquet_bytes(frame: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> bytes:
    """The frame as one Parquet file; the same rows and metadata give the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True, metadata=dict(metadata or {}))
    return buffer.getvalue()


def by_day(window: Window, frame: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """Every day of the window with its rows, none where there are none.

    The rows' day is that of their `hour`, or their `day` where they have no hour.
    """
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
