"""Months of readings in memory: the rows of the files as they are, and no more than fits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_resources.stores.day_files import DayFiles, by_day
from aq_resources.stores.object_store import LocalObjectStore
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.windows import Window
from aq_serving.months import KnownMonths
from tests.factories import DAY, hourly, utc

FIRST, DAYS = utc(2024, 1, 20), 60
START = FIRST.date()


@pytest.fixture
def files(tmp_path: Path) -> DayFiles:
    """Two months of which one is whole: 20 January to 19 March."""
    found = DayFiles(
        LocalObjectStore(tmp_path), "n/hourly_readings", "readings.parquet", HOURLY_READINGS.schema
    )
    rows = hourly([float(n) for n in range(24 * DAYS)], FIRST)
    for day, of_day in by_day(Window(FIRST, FIRST + DAYS * DAY), rows):
        found.write(day, of_day, {})
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The days whose files were opened."""
    found: list[date] = []
    real = DayFiles.scan_days

    def scan(self: DayFiles, days: Sequence[date]) -> Any:
        found.extend(days)
        return real(self, days)

    monkeypatch.setattr(DayFiles, "scan_days", scan)
    return found


def rows_of(months: KnownMonths, files: DayFiles) -> pl.DataFrame:
    return months.scan(files, files.versions(START)).sort("hour").collect()


def test_a_whole_month_is_opened_once(files: DayFiles, opened: list[date]) -> None:
    months = KnownMonths()
    expected = files.scan_days(files.days()).sort("hour").collect()
    assert expected.height == 24 * DAYS
    for times in (1, 2):
        opened.clear()
        assert_frame_equal(rows_of(months, files), expected, categorical_as_str=True)
        assert len(opened) == (DAYS if times == 1 else DAYS - 29)


def test_a_day_that_is_written_again_counts_at_once(files: DayFiles) -> None:
    months = KnownMonths()
    rows_of(months, files)
    changed = hourly([-1.0] * 24, utc(2024, 2, 10))
    files.write(date(2024, 2, 10), changed, {})
    rows = rows_of(months, files)
    assert rows.height == 24 * DAYS
    of_the_day = rows.filter(pl.col("hour").dt.date() == date(2024, 2, 10))
    assert set(of_the_day["value"]) == {-1.0}


def test_what_does_not_fit_is_read_by_day(files: DayFiles, opened: list[date]) -> None:
    months = KnownMonths(most_bytes=1000)
    for _ in range(2):
        opened.clear()
        assert rows_of(months, files).height == 24 * DAYS
        assert len(opened) == DAYS


def test_the_month_that_was_wanted_last_stays(files: DayFiles) -> None:
    months, versions = KnownMonths(most_bytes=1), files.versions(START)
    for first in (date(2024, 2, 1), date(2024, 3, 1)):
        of = {day: one for day, one in versions.items() if day.month == first.month}
        months._month(files, first, of)
        assert [month for _, month in months._kept] == [first]
