"""Files for others: every table as plain Parquet, read by any engine without the lake.

A table is a file a network, or a file a network and year, or month where a row is an hour. Each
file tells what rows it was made of, so that an export writes those alone that are no longer the
same, and needs no record of its own beside them.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from glob import escape
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from aq_resources.attribution import file_metadata, station_attributions
from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_licence
from aq_resources.services import Services, warehouse_tables
from aq_resources.stores.day_files import DayFiles, file_name
from aq_resources.stores.object_store import LocalObjectStore, ObjectStore
from aq_resources.warehouse.ddl import no_rows, sql_type
from aq_resources.warehouse.names import UNION_SCHEMA, quoted
from aq_resources.warehouse.reading import whole_read
from aq_science.parameters import PARAMETERS
from aq_science.tables.core import Table
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.registry import REFERENCE_VIEWS, WAREHOUSE_TABLES

ROOT = "exports"
# Raw pulls are not among them: their answers are other people's text, kept as it came.
EXPORTED = {**WAREHOUSE_TABLES, HOURLY_READINGS.name: HOURLY_READINGS, **REFERENCE_VIEWS}
# A part is sorted on disk where it is larger.
MEMORY = "1GB"
_FINGERPRINT = "fingerprint"
# Another number, and every file is written anew.
_FORM = 1
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class Part:
    """Rows that make one file.

    Attributes:
        key: Of the file, below the export's root.
        rows: SQL that gives them.
        digest: Number and sum of what the rows hash to.
    """

    key: str
    rows: str
    digest: str


@dataclass
class Outcome:
    """What an export came to so far, in files."""

    written: int = 0
    unchanged: int = 0
    removed: int = 0


@dataclass(frozen=True)
class Export:
    """An export to one place.

    Attributes:
        services: For the warehouse and the day files.
        target: Where the files go.
        root: The folder in `target`.
        connection: To the warehouse, read-only.
        outcome: Is counted up.
    """

    services: Services
    target: ObjectStore
    root: str
    connection: duckdb.DuckDBPyConnection
    outcome: Outcome

    def write(
        self, network: str, table: Table, since: date | None, known: Mapping[str, str]
    ) -> Iterator[str]:
        """Bring the files of a table of a network up to date.

        Args:
            network: The schema; that of all networks for what is of none.
            table: The declared table.
            since: Periods that ended before this day stay as they are.
            known: Attribution by station.

        Yields:
            The address of each file that was written.
        """
        present = set()
        for part in self._parts(network, table, since):
            present.add(part.key)
            if self._write_part(part, network, table, known):
                self.outcome.written += 1
                yield self.target.uri(part.key)
            else:
                self.outcome.unchanged += 1
        self._remove_others(network, table, since, present)

    def _parts(self, network: str, table: Table, since: date | None) -> Iterator[Part]:
        if (every := _period(table)) is None:
            rows = f"SELECT {', '.join(table.schema)} FROM {network}.{table.name}"
            for (digest,) in self._fetched(f"SELECT {_digest(table)} FROM ({rows})"):
                yield Part(self._key(network, table, None), rows, digest)
        elif table is HOURLY_READINGS:
            yield from self._months_of_files(network, table, since)
        else:
            yield from self._periods(network, table, every, since)

    def _periods(
        self, network: str, table: Table, every: str, since: date | None
    ) -> Iterator[Part]:
        """Years or months of a table of the warehouse."""
        window, source = table.window, f"{network}.{table.name}"
        kind = sql_type(table.schema[window or ""])
        first = "true" if since is None else f"{window} >= {_bound(_start(since, every), kind)}"
        found = self._fetched(
            f"SELECT date_trunc('{every}', {window})::DATE AS period, {_digest(table)} "
            f"FROM {source} WHERE {first} GROUP BY period ORDER BY period"
        )
        for start, digest in found:
            bounds = _bound(start, kind), _bound(_next(start, every), kind)
            where = f"{window} >= {bounds[0]} AND {window} < {bounds[1]}"
            rows = f"SELECT {', '.join(table.schema)} FROM {source} WHERE {where}"
            yield Part(self._key(network, table, start), rows, digest)

    def _months_of_files(self, network: str, table: Table, since: date | None) -> Iterator[Part]:
        """Months of the day files: the view over them would open every file for each month."""
        files = DayFiles(
            self.services.object_store,
            f"{network}/{table.name}",
            file_name(table.name),
            table.schema,
        )
        months: dict[date, list[str]] = {}
        for day in files.days():
            if since is None or day >= since.replace(day=1):
                address = quoted(files.store.uri(files.key(day)))
                months.setdefault(day.replace(day=1), []).append(address)
        for start, listed in months.items():
            # Earlier versions wrote files that lack a column.
            read = f"read_parquet([{', '.join(listed)}], union_by_name = true)"
            rows = (
                f"SELECT {', '.join(table.schema)} FROM "
                f"({no_rows(table)} UNION ALL BY NAME SELECT * FROM {read})"
            )
            for count, digest in self._fetched(f"SELECT count(*), {_digest(table)} FROM ({rows})"):
                if count:
                    yield Part(self._key(network, table, start), rows, digest)

    def _write_part(self, part: Part, network: str, table: Table, known: Mapping[str, str]) -> bool:
        """Whether the file had to be written."""
        metadata = self._metadata(part, network, table, known)
        said = json.dumps([_FORM, part.digest, sorted(metadata.items())])
        # Of the rows as they were before they are read to be written: where they change between,
        # the next export finds another one, and writes the file again.
        fingerprint = hashlib.sha256(said.encode()).hexdigest()
        if self._fingerprint(part.key) == fingerprint:
            return False
        metadata[_FINGERPRINT] = fingerprint
        entries = ", ".join(f"{quoted(name)}: {quoted(text)}" for name, text in metadata.items())
        with tempfile.TemporaryDirectory(prefix="aq-export-") as folder:
            path = Path(folder) / "part.parquet"
            self._fetched(
                f"COPY ({part.rows} ORDER BY {', '.join(table.key)}) TO {quoted(str(path))} "
                f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{entries}}})"
            )
            self.target.put_file(part.key, path)
        return True

    def _metadata(
        self, part: Part, network: str, table: Table, known: Mapping[str, str]
    ) -> dict[str, str]:
        """What the file says of its rows: attribution and licence, units and meanings."""
        if network == UNION_SCHEMA:
            return describe(table)
        stations: list[str] = []
        if "station_id" in table.schema:
            found = self._fetched(f"SELECT DISTINCT station_id FROM ({part.rows})")
            stations = [station for (station,) in found]
        licence = network_licence(network)
        return {
            **file_metadata(network, stations, known),
            **({} if licence is None else {"licence": licence}),
            **describe(table),
        }

    def _fingerprint(self, key: str) -> str | None:
        """That of the file that is there; None without one that can be read."""
        if not self.target.exists(key):
            return None
        entries = f"parquet_kv_metadata({quoted(escape(self.target.uri(key)))})"
        try:
            found = self.connection.execute(
                f"SELECT decode(value) FROM {entries} WHERE decode(key) = '{_FINGERPRINT}'"
            ).fetchone()
        except duckdb.Error:
            # A damaged file is written anew.
            return None
        return None if found is None else str(found[0])

    def _remove_others(
        self, network: str, table: Table, since: date | None, present: Collection[str]
    ) -> None:
        """Remove the files of periods that have no row any more."""
        every = _period(table)
        if every is None:
            return
        folder = self._key(network, table, None).removesuffix(_SUFFIX)
        for key in self.target.keys(folder):
            name = key.removeprefix(f"{folder}/").removesuffix(_SUFFIX)
            if key in present or not _is_period(name, every):
                continue
            if since is None or name >= _name(since, every):
                self.target.delete(key)
                self.outcome.removed += 1

    def _key(self, network: str, table: Table, start: date | None) -> str:
        """`<table>/<network>.parquet`, or `<table>/<network>/2026-01.parquet`.

        Without `network=` in it, which readers would make a second column of.
        """
        parts = [self.root, table.name]
        if network != UNION_SCHEMA:
            parts.append(network)
        if start is not None:
            parts.append(_name(start, _period(table) or ""))
        return "/".join(filter(None, parts)) + _SUFFIX

    def _fetched(self, sql: str) -> list[tuple[Any, ...]]:
        return whole_read(
            self.services.warehouse.location, lambda: self.connection.execute(sql).fetchall()
        )


def export_tables(
    services: Services,
    networks: Iterable[NetworkConfig],
    tables: Collection[str],
    folder: Path | None,
    since: date | None,
    outcome: Outcome,
) -> Iterator[str]:
    """Write tables as Parquet, as far as they are not there as they are.

    Args:
        services: For the warehouse and the object store.
        networks: Whose.
        tables: Names of `EXPORTED`; all of them where there is none.
        folder: Where to; without it, `exports/` on the object store.
        since: Periods that ended before this day are neither looked at nor changed.
        outcome: Is counted up.

    Yields:
        The address of each file, once it is written.

    Raises:
        SettingsError: There is no such table.
    """
    if unknown := set(tables) - set(EXPORTED):
        raise SettingsError(
            f"--table {', '.join(sorted(unknown))}: no such table. There are "
            f"{', '.join(sorted(EXPORTED))}."
        )
    chosen = [table for name, table in EXPORTED.items() if not tables or name in tables]
    target, root = (
        (services.object_store, ROOT)
        if folder is None
        else (LocalObjectStore(folder.absolute()), "")
    )
    # Tables of networks that were added since, or of a newer version, are there after it.
    services.warehouse.prepare()
    with (
        tempfile.TemporaryDirectory(prefix="aq-export-") as spill,
        closing(services.warehouse.connect_read_only()) as connection,
    ):
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET temp_directory = {quoted(spill)}")
        export = Export(services, target, root, connection, outcome)
        for config in networks:
            own = {table.name for table in warehouse_tables(config.name)} | {HOURLY_READINGS.name}
            known = station_attributions(services.warehouse, config.name)
            for table in chosen:
                if table.name in own:
                    yield from export.write(config.name, table, since, known)
        for table in chosen:
            if table.name in REFERENCE_VIEWS:
                yield from export.write(UNION_SCHEMA, table, since, {})


def describe(table: Table) -> dict[str, str]:
    """What a file says of its table: meaning, key, columns with units, units of the parameters."""
    columns = {column.name: column.unit for column in table.columns if column.unit}
    parameters = {name: parameter.unit for name, parameter in PARAMETERS.items()}
    said = {
        "units": {"columns": columns, "parameters": parameters},
        "descriptions": {column.name: column.text for column in table.columns},
        "key": table.key,
    }
    written = {name: json.dumps(value, ensure_ascii=False) for name, value in said.items()}
    return {"table": table.text, **written}


def _period(table: Table) -> str | None:
    """What a file of the table covers: `month` where a row is an hour, `year`, or everything."""
    if table.window is None:
        return None
    hourly = any(isinstance(table.schema[column], pl.Datetime) for column in table.key)
    return "month" if hourly else "year"


def _digest(table: Table) -> str:
    """The number of rows and the sum of their hashes: the same rows in any order."""
    hashed = f"hash({', '.join(table.schema)})"
    return f"count(*) || ' ' || coalesce(sum({hashed}::HUGEINT), 0)"


def _start(day: date, every: str) -> date:
    return day.replace(day=1) if every == "month" else day.replace(month=1, day=1)


def _next(start: date, every: str) -> date:
    if every == "year" or start.month == 12:
        return date(start.year + 1, 1, 1)
    return start.replace(month=start.month + 1)


def _name(day: date, every: str) -> str:
    return f"{day:%Y-%m}" if every == "month" else f"{day:%Y}"


def _is_period(name: str, every: str) -> bool:
    try:
        read = datetime.strptime(name, "%Y-%m" if every == "month" else "%Y").replace(tzinfo=UTC)
    except ValueError:
        return False
    return _name(read.date(), every) == name


def _bound(day: date, kind: str) -> str:
    return f"'{day}T00:00:00Z'::{kind}" if kind == "TIMESTAMPTZ" else f"'{day}'::{kind}"
