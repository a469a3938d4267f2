"""Files on S3 that are replaced while they are read: read again, and never shown as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
import tenacity

from aq_resources.failures import TransientFailure
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.reading import whole_read

TORN = UnicodeDecodeError("utf-8", b"PAR1\xb5", 4, 5, "invalid start byte")


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity.nap, "sleep", lambda seconds: None)


def place(*, s3: bool = True) -> WarehouseLocation:
    return WarehouseLocation("ducklake:sqlite:/x", "/y", uses_s3=s3)


def failing(*errors: Exception) -> Callable[[], str]:
    waiting: Iterator[Exception] = iter(errors)

    def read() -> str:
        for error in waiting:
            raise error
        return "rows"

    return read


@pytest.mark.parametrize(
    "error",
    [
        TORN,
        duckdb.HTTPException("HTTP 416 Range Not Satisfiable"),
        duckdb.InvalidInputException("No magic bytes found at end of file"),
    ],
)
def test_a_torn_read_is_done_again(error: Exception) -> None:
    assert whole_read(place(), failing(error, error)) == "rows"


def test_what_stays_is_said_in_words() -> None:
    with pytest.raises(TransientFailure, match="were replaced while they were read"):
        whole_read(place(), failing(*[TORN] * 100))
    with pytest.raises(duckdb.IOException, match="no such bucket"):
        whole_read(place(), failing(*[duckdb.IOException("no such bucket")] * 100))


@pytest.mark.parametrize(
    ("error", "s3"),
    [
        (duckdb.BinderException("no such column"), True),
        (duckdb.IOException("damaged"), False),
    ],
    ids=["a mistake", "a disk"],
)
def test_nothing_else_is_tried_again(error: Exception, s3: bool) -> None:
    with pytest.raises(type(error)):
        whole_read(place(s3=s3), failing(error))


def test_a_disk_is_read_once(tmp_path: Path) -> None:
    assert whole_read(place(s3=False), lambda: tmp_path) == tmp_path
