"""Views over rows of the program: filled from the first start, made anew where they changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_resources.warehouse import reference
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.index_categories import index_categories
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.index_categories import INDEX_CATEGORIES
from tests.factories import DAY, MIDNIGHT, daily_frame

NAME = f"air_quality.{INDEX_CATEGORIES.name}"


@contextlib.contextmanager
def opened(location: WarehouseLocation) -> Iterator[Warehouse]:
    with contextlib.closing(Warehouse(location)) as warehouse:
        warehouse.prepare()
        yield warehouse


def snapshots(warehouse: Warehouse) -> int:
    return warehouse.read("SELECT * FROM ducklake_snapshots('lake')").height


def test_rows_are_there_from_the_first_start_for_every_reader(location: WarehouseLocation) -> None:
    with opened(location) as warehouse:
        found = warehouse.read(f"SELECT * FROM {NAME}")
        assert_frame_equal(found.cast(INDEX_CATEGORIES.schema), index_categories())
        with contextlib.closing(warehouse.connect_read_only()) as reader:
            rows = reader.execute(f"SELECT count(*) FROM {NAME}").fetchone()
    assert rows == (len(index_categories()),)


def test_another_start_changes_nothing(location: WarehouseLocation) -> None:
    with opened(location) as warehouse:
        before = snapshots(warehouse)
    with opened(location) as warehouse:
        assert snapshots(warehouse) == before


def test_rows_of_another_version_are_replaced(
    location: WarehouseLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = index_categories().with_columns(advice=pl.lit('It\'s "old" \\ advice'))
    with monkeypatch.context() as patch:
        patch.setitem(reference._ROWS, INDEX_CATEGORIES.name, lambda: changed)
        with opened(location) as warehouse:
            found = warehouse.read(f"SELECT DISTINCT advice FROM {NAME}").rows()
    assert found == [('It\'s "old" \\ advice',)]
    with opened(location) as warehouse:
        rows = warehouse.read(f"SELECT * FROM {NAME}")
    assert_frame_equal(rows.cast(INDEX_CATEGORIES.schema), index_categories())


def test_a_day_finds_its_colour(location: WarehouseLocation) -> None:
    """The default row is of an index of 53."""
    first = MIDNIGHT.date()
    with opened(location) as warehouse:
        warehouse.replace("airqino", DAILY_AVERAGES, daily_frame(first), (first, first + DAY))
        found = warehouse.read(
            f"SELECT d.aqi, c.colour FROM air_quality.daily_averages d JOIN {NAME} c "
            "ON c.parameter = d.parameter AND c.category = d.aqi_category "
            "WHERE c.index_name = 'us_epa' AND c.table_name = '2024'"
        )
    assert found.rows() == [(53, "#FFFF00")]
