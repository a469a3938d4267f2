"""The publication in memory: what answers of now are made of, as ready bytes where they can be.

The server looks at the manifest every second. A new publication is read whole and checked before it
takes the place of the old one; where it cannot be, the old one stays, and the fault is reported.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import Format
from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.publication.manifest import (
    Manifest,
    PublishedFile,
    digest,
    manifest_key,
    read_manifest,
)
from aq_resources.publication.reading import read_compressed, read_file
from aq_resources.stores.object_store import MissingObject, ObjectStore
from aq_science.tables.core import Table
from aq_science.tables.current_categories import CURRENT_CATEGORIES
from aq_science.tables.latest import LATEST
from aq_science.tables.newest_hours import NEWEST_HOURS
from aq_science.tables.stations import STATIONS

LOOK_EVERY_SECONDS = 1.0
# Answers of now change where an hour of some zone ends.
CHANGES_EVERY_MINUTES = 15
_TABLES: dict[str, Table] = {
    "stations": STATIONS,
    "latest": LATEST,
    "category": CURRENT_CATEGORIES,
    "newest_hours": NEWEST_HOURS,
}
_READY = (Format.json, Format.geojson, Format.parquet)
_LOG = logging.getLogger("aq.serving")


@dataclass(frozen=True)
class ReadyBytes:
    """A published file as it is, and compressed where it has a twin."""

    data: bytes
    packed: bytes | None


@dataclass(frozen=True)
class Published:
    """One publication.

    Attributes:
        identity: Hash of its manifest.
        manifest: Names its files.
        stations: `STATIONS` of all networks.
        latest: `LATEST` of all networks.
        category: `CURRENT_CATEGORIES` of all networks, as of the publication.
        newest_hours: `NEWEST_HOURS` of all networks, as of the publication.
        ready: The file `latest` by network (empty for all) and form.
    """

    identity: str
    manifest: Manifest
    stations: pl.DataFrame
    latest: pl.DataFrame
    category: pl.DataFrame
    newest_hours: pl.DataFrame
    ready: dict[tuple[str, Format], ReadyBytes]


@dataclass(frozen=True)
class State:
    """What is served, and what is wrong with the newest publication if anything is."""

    published: Published | None = None
    fault: str | None = None

    def described(self) -> dict[str, str]:
        """As outsiders hear of it; the log has the reason of a fault."""
        found = {"publication": "none" if self.fault is None else "damaged"}
        if self.published is not None:
            found["publication"] = "whole" if self.fault is None else "damaged: an older one serves"
            found["published"] = self.published.identity
            found["newest_hour"] = str(self.published.manifest.newest_hour)
            found["newest_issue"] = str(self.published.manifest.newest_issue)
        return found


class PublishedNow:
    """The publication that is served; `look` makes it the newest that is whole."""

    def __init__(self, store: Callable[[], ObjectStore], now: Callable[[], datetime]) -> None:
        """Reads nothing.

        Args:
            store: Gives the object store, once it is wanted.
            now: The clock, UTC.
        """
        self._store = store
        self._now = now
        self.state = State()
        # Changes with the publication and with the time that answers of now depend on.
        self.epoch: tuple[str, datetime | None] = ("", None)

    @property
    def published(self) -> Published | None:
        """The newest whole publication; None as long as there is none."""
        return self.state.published

    def look(self) -> None:
        """Take over a new publication, if there is one."""
        try:
            self._look()
        except (PermanentFailure, TransientFailure, OSError, pl.exceptions.PolarsError) as failure:
            self._tell(str(failure))
        except Exception as failure:  # noqa: BLE001
            # Whatever a damaged file leads to, the next look may find a whole one.
            _LOG.exception("The publication could not be read.")
            self._tell(repr(failure))
        published = self.state.published
        self.epoch = ("" if published is None else published.identity, quarter_of(self._now()))

    def _look(self) -> None:
        store, key = self._store(), manifest_key()
        try:
            data = store.get(key)
        except MissingObject:
            if self.state.published is None:
                # Nothing was published yet: that is no fault.
                return
            raise
        identity = digest(data)
        served = self.state.published
        if served is not None and served.identity == identity:
            self.state = State(served)
            return
        found = _read(store, identity, read_manifest(data, store.uri(key)))
        if self.state.fault is not None:
            _LOG.warning("The publication is whole again.")
        self.state = State(found)

    def _tell(self, fault: str) -> None:
        if fault != self.state.fault:
            kept = "the last whole one is served" if self.published else "none is served"
            _LOG.error("The newest publication cannot be used (%s): %s", kept, fault)
        self.state = State(self.published, fault)


def quarter_of(now: datetime) -> datetime:
    """The beginning of the quarter of an hour, in which what is said of now stays the same."""
    minute = now.minute - now.minute % CHANGES_EVERY_MINUTES
    return now.replace(minute=minute, second=0, microsecond=0)


def _read(store: ObjectStore, identity: str, manifest: Manifest) -> Published:
    frames = {name: _rows(store, manifest, name, table) for name, table in _TABLES.items()}
    ready = {}
    for name, file in manifest.files.items():
        network, _, last = name.rpartition("/")
        stem, _, extension = last.partition(".")
        if stem == LATEST.name and extension in [form.value for form in _READY]:
            ready[network, Format(extension)] = _ready(store, file)
    return Published(identity=identity, manifest=manifest, ready=ready, **frames)


def _ready(store: ObjectStore, file: PublishedFile) -> ReadyBytes:
    data = read_file(store, file)
    return ReadyBytes(data, read_compressed(store, file, data))


def _rows(store: ObjectStore, manifest: Manifest, name: str, table: Table) -> pl.DataFrame:
    file = manifest.files.get(f"{name}.parquet")
    if file is None:
        raise PermanentFailure(f"The manifest names no {name}.parquet.")
    rows = pl.read_parquet(io.BytesIO(read_file(store, file)))
    schema = plain_schema(table)
    if missing := [column for column in schema if column not in rows.columns]:
        raise PermanentFailure(
            f"{name}.parquet has no column {missing[0]}: it is of another version of the "
            "program, and the next publication will have it."
        )
    return rows.select(schema.names()).cast(schema)
