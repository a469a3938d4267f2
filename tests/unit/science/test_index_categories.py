"""The reference table of categories is whole, and says what the indices compute."""

from __future__ import annotations

import re

import polars as pl
import pytest

from aq_science.index_categories import index_categories
from aq_science.indices import european, us_epa
from aq_science.indices.us_epa_tables import US_EPA_TABLES, UsEpaTable
from aq_science.tables.core import broken_rows
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.index_categories import INDEX_CATEGORIES

ROWS = index_categories()
OF_THE_DAY = pl.col("averaging") != "highest hour"


def rows(table: str, parameter: str, index: str = "us_epa") -> pl.DataFrame:
    return ROWS.filter(index_name=index, table_name=table, parameter=parameter)


def test_rows_are_as_declared() -> None:
    assert ROWS.schema == INDEX_CATEGORIES.schema
    assert not ROWS.select(INDEX_CATEGORIES.key).is_duplicated().any()
    assert all(bad.is_empty() for bad in broken_rows(INDEX_CATEGORIES, ROWS).values())
    may_lack = {"in_force_from", "upper", "index_high"}
    assert {name for name in ROWS.columns if ROWS[name].has_nulls()} == may_lack


def test_colours_are_colours_and_every_row_has_advice_and_source() -> None:
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in ROWS["colour"])
    assert ROWS.select((pl.col("advice", "source").str.len_chars() > 0).all()).row(0) == (True,) * 2
    assert ROWS.group_by("index_name", "rank").agg(pl.col("colour").n_unique())["colour"].max() == 1


@pytest.mark.parametrize("table", US_EPA_TABLES, ids=lambda table: table.name)
def test_ends_of_a_category_have_its_indices(table: UsEpaTable) -> None:
    for parameter in table.bands:
        # Ozone's worst category is by the hour, which daily averages do not use.
        found = rows(table.name, parameter).filter(OF_THE_DAY | (parameter != "o3"))
        ends = pl.concat(
            found.select("category", at=end, shown=shown)
            for end, shown in (("lower", "index_low"), ("upper", "index_high"))
        ).drop_nulls("at")
        ends = ends.with_columns(index=us_epa.aqi(parameter, pl.col("at"), table))
        names = ends.select(us_epa.aqi_category(pl.col("index")).cast(pl.String)).to_series()
        assert len(ends) > 2, parameter
        assert ends["index"].to_list() == ends["shown"].to_list(), parameter
        assert names.to_list() == ends["category"].to_list(), parameter


def test_all_of_today_have_six_categories() -> None:
    today = ROWS.filter(table_name="2024").group_by("index_name", "parameter").len()
    assert today["len"].to_list() == [6] * 11
    assert rows("2024", "co")["category"].to_list() == us_epa.CATEGORIES
    assert rows("2024", "so2", "european")["category"].to_list() == european.CATEGORIES


def test_every_category_of_a_day_finds_its_row() -> None:
    """Where there is a category there is advice, for whatever parameter has an index."""
    dtype = DAILY_AVERAGES.schema["aqi_category"]
    assert isinstance(dtype, pl.Enum)
    assert set(rows("2024", "o3")["category"]) == set(dtype.categories)


@pytest.mark.parametrize(
    ("parameter", "averaging"),
    [
        ("pm25", ["24-hour mean"] * 6),
        ("co", ["highest 8-hour mean"] * 6),
        ("o3", ["highest 8-hour mean"] * 5 + ["highest hour"]),
        ("no2", ["highest hour"] * 6),
        ("so2", ["highest hour"] * 4 + ["24-hour mean"] * 2),
    ],
)
def test_what_is_compared_is_said(parameter: str, averaging: list[str]) -> None:
    assert rows("2024", parameter)["averaging"].to_list() == averaging


def test_european_bounds_follow_one_another() -> None:
    found = rows("2024", "pm25", "european")
    assert found["lower"].to_list() == [0, 5, 15, 50, 90, 140]
    assert found["upper"].to_list() == [5, 15, 50, 90, 140, None]
    assert found["index_low"].to_list() == found["rank"].to_list() == [1, 2, 3, 4, 5, 6]
