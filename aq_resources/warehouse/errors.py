"""DuckDB's errors as the platform's failures: what another try may help, and what to fix."""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.warehouse.location import WarehouseLocation

# A file of rows that DuckDB names in an error, and what it says of one that is not there or whole.
_ROWS_FILE = re.compile(r"['\"](?P<uri>[^'\"]+\.parquet)['\"]")
_DAMAGED = (
    "no such file",
    "(404",
    "too small to be a parquet file",
    "no magic bytes",
    "could not read enough bytes",
    "decompression failed",
    "footer length",
    "tprotocolexception",
)
# What SQLite says of a file that is none of its own, or not whole.
_NO_DATABASE = ("file is not a database", "disk image is malformed", "malformed database schema")
_MADE_AGAIN = (
    "`aq backfill` makes the tables again; of the forecasts only those that --forecasts adds come "
    "back."
)
# What DuckDB says of an S3 that answers 429 or 5xx, or not at all.
_OVERLOADED = re.compile(r"returned HTTP (429|5\d\d)\b|error for HTTP (GET|HEAD|PUT|POST) to")


class Busy(TransientFailure):
    """The catalog could not take the work just now: worth another try within the same call."""


class Locked(Busy):
    """A program that does not take turns with ours holds the catalog."""


class Conflict(Busy):
    """Somebody else changed the table in the meantime: another try may be the faster one."""


def damaged_catalog(location: WarehouseLocation, text: str) -> PermanentFailure | None:
    """The failure for what was said of a SQLite catalog that is not whole; None for all else."""
    if location.sqlite_path is None or not any(word in text.lower() for word in _NO_DATABASE):
        return None
    return PermanentFailure(damage(location, text))


def damage(location: WarehouseLocation, text: str) -> str:
    """What is left to do with a SQLite catalog that is not whole."""
    return (
        f"The warehouse's catalog {location.sqlite_path} is damaged ({text}). Stop everything and "
        'restore it from a backup (docs/operating.md, "Backup and restore"). Without one, move it '
        f"(with -wal and -shm) and {location.data_path} away: {_MADE_AGAIN}"
    )


def lost_catalog(location: WarehouseLocation) -> str:
    """What to do where rows lie beside a catalog that knows of none."""
    return (
        f"The warehouse's catalog {_name(location)} is new, but rows of another one lie in "
        f"{location.data_path}: it was lost, or AQ_WAREHOUSE names the wrong one. Correct "
        "AQ_WAREHOUSE, or stop everything and restore the catalog from a backup "
        '(docs/operating.md, "Backup and restore"). Without one, move '
        f"{location.data_path} away: {_MADE_AGAIN}"
    )


def translate_errors(
    error: duckdb.Error, location: WarehouseLocation
) -> TransientFailure | PermanentFailure:
    """The platform's failure for an error of DuckDB, which says what to fix."""
    text = str(error)
    lowered = text.lower()
    where = _name(location)

    def said(*words: str) -> bool:
        return any(word in lowered for word in words)

    if message := _permanent_cause(text, said, location):
        return PermanentFailure(message)
    if said("no space left", "disk full", "database or disk is full"):
        return TransientFailure(
            f"The disk is full: the warehouse at {where} could not be written. Free space and "
            "run this again; nothing was half-written."
        )
    if _OVERLOADED.search(text) or said("unable to connect to postgres", "connection to server"):
        server = "S3" if _OVERLOADED.search(text) else "The Postgres of AQ_WAREHOUSE"
        return Busy(f"{server} cannot be reached: {' '.join(text.split())}")
    # Another process makes the same catalog, or the same table in it.
    if said("conflict") or (said("initialize ducklake") and said("already exists")):
        return Conflict(f"The warehouse at {where} could not be written: {text}")
    transient = ("locked", "busy", "connection", "timeout", "could not connect")
    if isinstance(error, duckdb.TransactionException | duckdb.ConnectionException) or said(
        *transient
    ):
        return _busy(text, location)
    return PermanentFailure(f"The warehouse at {where} refused the work: {text}")


def _busy(text: str, location: WarehouseLocation) -> Busy:
    where = _name(location)
    if location.sqlite_path is None or "is locked" not in text:
        return Busy(f"The warehouse at {where} could not be written: {text}")
    return Locked(
        f"The warehouse's catalog {where} is locked by another program: see which with "
        f"`fuser {where}`, let it end, and run this again. Nothing was changed. ({text})"
    )


def _name(location: WarehouseLocation) -> str:
    return str(location.sqlite_path or "the Postgres catalog")


def _permanent_cause(
    text: str, said: Callable[..., bool], location: WarehouseLocation
) -> str | None:
    """What someone has to fix before the work can succeed, where that is known."""
    where, data_path = _name(location), location.data_path
    refused = ("authentication failed", "does not exist", "no pg_hba")
    lost = _ROWS_FILE.search(text) if said(*_DAMAGED) else None
    known = [
        (location.sqlite_path is not None and said(*_NO_DATABASE), damage(location, text)),
        (
            lost is not None,
            (
                f"{lost and lost['uri']} is lost or damaged ({' '.join(text.split())}). Run `aq "
                "doctor --deep`: it finds all such files, and makes again what they held."
            ),
        ),
        (
            location.sqlite_path is not None and said("readonly database", "unable to open"),
            (
                f"The warehouse's catalog {where} cannot be opened for writing ({text}). Give this "
                "user the right to write it and its folder, which reading needs as well."
            ),
        ),
        (
            said("catalog version mismatch"),
            (
                f"The warehouse at {where} was made by a newer version of DuckLake ({text}). "
                "Upgrade aq on this machine; nothing was changed."
            ),
        ),
        (
            said("fatal:") and said(*refused),
            (
                f"Postgres refuses the warehouse's catalog: {text}. Correct AQ_WAREHOUSE, or "
                "create the role or database it names."
            ),
        ),
        (
            said("creating a new ducklake is explicitly disabled"),
            (
                f"There is no warehouse in {where} yet. Run `aq demo` or `aq backfill` "
                "first, or correct AQ_WAREHOUSE."
            ),
        ),
        (
            said("data path") and said("does not match"),
            f"AQ_WAREHOUSE_DATA does not name the folder this warehouse was made with. {text}",
        ),
        (
            said("nosuchbucket", "bucket does not exist"),
            (f"The bucket of {data_path} does not exist. Create it, or correct AQ_WAREHOUSE_DATA."),
        ),
    ]
    return next((message for applies, message in known if applies), None)
