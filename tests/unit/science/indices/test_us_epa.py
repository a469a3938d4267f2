"""The US EPA index against published values, its categories, and the WHO guideline flags."""

import math
from datetime import date
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.averages import daily_averages
from aq_science.indices.by_parameter import by_parameter
from aq_science.indices.us_epa import (
    CATEGORIES,
    LOWEST_INDICES,
    aqi,
    aqi_category,
    aqi_concentration,
    daily_aqi,
)
from aq_science.indices.us_epa_tables import (
    INDEX_UNITS,
    US_EPA_2024,
    US_EPA_TABLES,
    UsEpaTable,
    table_on,
    tables_between,
)
from aq_science.units import to_canonical
from tests.factories import hourly, utc


def index_of(
    parameter: str, concentration: float | None, table: UsEpaTable = US_EPA_2024
) -> int | None:
    frame = pl.DataFrame({"c": [concentration]}, schema={"c": pl.Float64})
    return frame.select(aqi(parameter, pl.col("c"), table)).item()


@pytest.mark.parametrize(
    ("concentration", "index"),
    [
        (0.0, 0),
        (9.0, 50),
        (9.05, 50),
        (9.1, 51),
        (12.0, 56),
        (15.0, 62),
        (35.4, 100),
        (35.49, 100),
        (35.5, 101),
        (55.4, 150),
        (55.5, 151),
        (125.4, 200),
        (125.5, 201),
        (225.4, 300),
        (225.5, 301),
        (325.4, 500),
        (500.0, 848),
    ],
)
def test_pm25_index(concentration: float, index: int) -> None:
    assert index_of("pm25", concentration) == index


@pytest.mark.parametrize(
    ("ppm", "index"),
    [
        (0.0, 0),
        (2.0, 23),
        (4.4, 50),
        (4.45, 50),
        (4.5, 51),
        (9.4, 100),
        (9.5, 101),
        (12.4, 150),
        (15.4, 200),
        (30.4, 300),
        (40.4, 400),
        (50.4, 500),
    ],
)
def test_co_index(ppm: float, index: int) -> None:
    assert index_of("co", ppm) == index


@pytest.mark.parametrize(
    ("parameter", "concentration", "index"),
    [
        ("pm10", 54.9, 50),
        ("pm10", 55, 51),
        ("pm10", 154, 100),
        ("pm10", 604, 500),
        ("o3", 0.0549, 50),
        ("o3", 0.055, 51),
        ("o3", 0.070, 100),
        ("o3", 0.0709, 100),
        ("o3", 0.200, 300),
        ("no2", 53.9, 50),
        ("no2", 100, 100),
        ("no2", 360, 150),
        ("so2", 75.9, 100),
        ("so2", 304, 200),
        ("so2", 604, 300),
    ],
)
def test_index_of_the_others(parameter: str, concentration: float, index: int) -> None:
    assert index_of(parameter, concentration) == index


@pytest.mark.parametrize(
    ("parameter", "day", "index"),
    [
        # Mean, highest hour and highest 8-hour mean in ppb.
        ("no2", (20.0, 100.5, None), 100),
        ("so2", (20.0, 75.5, None), 100),
        ("so2", (20.0, 400.0, None), 200),
        ("so2", (305.5, 900.0, None), 201),
        ("so2", (None, None, None), None),
        ("o3", (20.0, 90.0, 70.5), 100),
        ("o3", (20.0, 90.0, None), None),
    ],
)
def test_a_day_is_judged_by_what_the_law_names(
    parameter: str, day: tuple[float | None, ...], index: int | None
) -> None:
    scale, _ = to_canonical(parameter, "ppb") or (1.0, 0.0)
    values = [None if ppb is None else ppb * scale for ppb in day]
    frame = pl.DataFrame([values], schema=["mean", "high", "long"], orient="row").cast(pl.Float64)
    columns = (pl.col("mean"), pl.col("high"), pl.col("long"))
    assert frame.select(daily_aqi(parameter, *columns)).item() == index


@pytest.mark.parametrize("parameter", US_EPA_2024.bands)
def test_noise_below_zero_is_clean_air(parameter: str) -> None:
    assert index_of(parameter, -0.4) == 0


@pytest.mark.parametrize("parameter", US_EPA_2024.bands)
def test_no_concentration_has_no_index(parameter: str) -> None:
    assert index_of(parameter, None) is None


@pytest.mark.parametrize("parameter", US_EPA_2024.bands)
@given(st.lists(st.floats(0, 2000), min_size=2))
def test_more_is_never_better(parameter: str, concentrations: list[float]) -> None:
    frame = pl.DataFrame({"c": sorted(concentrations)}, schema={"c": pl.Float64})
    indices = frame.select(aqi(parameter, pl.col("c"))).to_series()
    assert indices.null_count() == 0
    assert indices.is_sorted()


@given(st.integers(1, 3254))
def test_rounding_error_of_a_mean_does_not_cost_a_tenth(tenths: int) -> None:
    """24 hours of 9.1 average to 9.099999999999998, which is 9.1."""
    concentration = tenths / 10
    just_below = math.nextafter(concentration, 0)
    assert index_of("pm25", just_below) == index_of("pm25", concentration)


@pytest.mark.parametrize(
    ("index", "category"),
    [
        (0, "Good"),
        (50, "Good"),
        (51, "Moderate"),
        (100, "Moderate"),
        (101, "Unhealthy for Sensitive Groups"),
        (150, "Unhealthy for Sensitive Groups"),
        (151, "Unhealthy"),
        (200, "Unhealthy"),
        (201, "Very Unhealthy"),
        (300, "Very Unhealthy"),
        (301, "Hazardous"),
        (848, "Hazardous"),
        (None, None),
    ],
)
def test_category(index: int | None, category: str | None) -> None:
    frame = pl.DataFrame({"i": [index]}, schema={"i": pl.Int32})
    assert frame.select(aqi_category(pl.col("i"))).item() == category


@pytest.mark.parametrize("table", US_EPA_TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("parameter", US_EPA_2024.bands)
def test_bands_join_and_categories_begin_with_one(table: UsEpaTable, parameter: str) -> None:
    bands = table.bands[parameter]
    for (_, high, _, top), (low, _, bottom, _) in pairwise(bands):
        assert low == pytest.approx(high + 10.0 ** -INDEX_UNITS[parameter][1])
        assert bottom == top + 1
    begun = [low for _, _, low, _ in bands if low in LOWEST_INDICES]
    # Above 0.200 ppm the index of O3 follows the hour, which has a table of its own; NO2 had no
    # index below 201 until 2010.
    no_low = parameter == "no2" and table.in_force_from < date(2010, 4, 12)
    assert begun == list(LOWEST_INDICES[4 if no_low else 0 : 5 if parameter == "o3" else 6])


@pytest.mark.parametrize("parameter", US_EPA_2024.bands)
def test_the_table_of_2024_has_one_band_a_category(parameter: str) -> None:
    assert len(US_EPA_2024.bands[parameter]) == len(CATEGORIES) - (parameter == "o3")


@pytest.mark.parametrize(
    ("day", "parameter", "concentration", "index"),
    [
        pytest.param(date(1990, 1, 1), "pm25", 15.4, 50, id="before the index, its first table"),
        pytest.param(date(1999, 10, 4), "pm25", 15.5, 51, id="pm25 of 1999"),
        pytest.param(date(2013, 3, 17), "pm25", 65.4, 150, id="pm25, last day of 1999's"),
        pytest.param(date(2013, 3, 18), "pm25", 65.4, 156, id="pm25, first day of 2013's"),
        pytest.param(date(2013, 3, 18), "pm25", 12.1, 51, id="pm25, moderate of 2013"),
        pytest.param(date(2024, 5, 5), "pm25", 12.0, 50, id="pm25, last day of 2013's"),
        pytest.param(date(2024, 5, 6), "pm25", 12.0, 56, id="pm25, first day of 2024's"),
        pytest.param(date(2024, 5, 5), "pm25", 350.4, 400, id="pm25, two hazardous bands"),
        pytest.param(date(2024, 5, 5), "pm25", 500.4, 500, id="pm25, end of the second"),
        pytest.param(date(2008, 5, 26), "o3", 0.084, 100, id="o3, last day of 1999's"),
        pytest.param(date(2008, 5, 27), "o3", 0.075, 100, id="o3, first day of 2008's"),
        pytest.param(date(2015, 12, 27), "o3", 0.374, 300, id="o3, last day of 2008's"),
        pytest.param(date(2015, 12, 28), "o3", 0.070, 100, id="o3, first day of 2015's"),
        pytest.param(date(2010, 4, 11), "no2", 649.0, None, id="no2, none below 650 ppb"),
        pytest.param(date(2010, 4, 11), "no2", 650.0, 201, id="no2, as of 1999"),
        pytest.param(date(2010, 4, 12), "no2", 100.0, 100, id="no2, first day of 2010's"),
        pytest.param(date(2010, 8, 22), "so2", 144.0, 100, id="so2, last day of 1999's"),
        pytest.param(date(2010, 8, 23), "so2", 75.0, 100, id="so2, first day of 2010's"),
        pytest.param(date(2024, 5, 5), "pm10", 504.0, 400, id="pm10, two hazardous bands"),
        pytest.param(date(2024, 5, 6), "pm10", 504.0, 389, id="pm10, one"),
    ],
)
def test_each_day_has_its_table(
    day: date, parameter: str, concentration: float, index: int | None
) -> None:
    assert index_of(parameter, concentration, table_on(day)) == index


def test_tables_are_in_the_order_of_their_days_each_with_a_source() -> None:
    days = [table.in_force_from for table in US_EPA_TABLES]
    assert days == sorted(set(days))
    assert all(table.source for table in US_EPA_TABLES)


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [
        (date(2024, 1, 1), date(2024, 5, 5), ["2015"]),
        (date(2024, 5, 5), date(2024, 5, 6), ["2015", "2024"]),
        (date(1980, 1, 1), date(1980, 1, 2), ["1999"]),
        (date(2010, 4, 1), date(2013, 3, 18), ["2008", "2010-04", "2010-08", "2013"]),
    ],
)
def test_tables_of_a_stretch_of_days(first: date, last: date, names: list[str]) -> None:
    assert [table.name for table in tables_between(first, last)] == names


@pytest.mark.parametrize(
    ("day", "index"),
    [(date(2010, 8, 22), 55), (date(2010, 8, 23), 200)],
    ids=["by the mean until 2010", "by the hour since"],
)
def test_sulphur_dioxide_was_judged_by_the_mean_of_the_day(day: date, index: int) -> None:
    scale, _ = to_canonical("so2", "ppb") or (1.0, 0.0)
    frame = pl.DataFrame({"mean": [44.5 * scale], "high": [400.0 * scale], "long": [None]})
    columns = (pl.col("mean"), pl.col("high"), pl.col("long").cast(pl.Float64))
    assert frame.select(daily_aqi("so2", *columns, table=table_on(day))).item() == index


def test_averages_follow_the_table_in_force_where_that_is_chosen() -> None:
    """12.0 µg/m³ on both days, around the change of 6 May 2024."""
    days = (date(2024, 5, 5), date(2024, 5, 6))
    readings = hourly([12.0] * 48, utc(2024, 5, 5))
    always = daily_averages(readings, {}, days)
    assert always["aqi"].to_list() == [56, 56]
    by_date = daily_averages(readings, {}, days, aqi_table="by_date")
    assert by_date["aqi"].to_list() == [50, 56]
    assert by_date["aqi_category"].to_list() == ["Good", "Moderate"]


def test_by_date_is_by_the_local_day_also_of_a_station_that_moved() -> None:
    """Hours of 5 May in UTC, of which some are of 6 May in Auckland."""
    days = (date(2024, 5, 6), date(2024, 5, 6))
    readings = hourly([12.0] * 24, utc(2024, 5, 5, 12))
    moved = pl.DataFrame(
        {"station_id": ["s1"], "date": [days[0]], "timezone": ["Pacific/Auckland"]}
    )
    station = readings["station_id"][0]
    rows = daily_averages(
        readings,
        {station: "UTC"},
        days,
        elsewhere=moved.with_columns(station_id=pl.lit(station)),
        aqi_table="by_date",
    )
    assert rows["timezone"].to_list() == ["Pacific/Auckland"]
    assert rows["aqi"].to_list() == [56]


@pytest.mark.parametrize(("celsius", "milligrams"), [(20.0, 10.4797), (25.0, 10.3041)])
def test_co_index_is_of_the_volume_fraction(celsius: float, milligrams: float) -> None:
    frame = pl.DataFrame({"v": [milligrams]})
    ppm = frame.select(aqi_concentration("co", pl.col("v"), celsius)).item()
    assert ppm == pytest.approx(9.0, rel=1e-4)


def test_pm25_is_compared_as_it_is() -> None:
    frame = pl.DataFrame({"v": [12.3]})
    assert frame.select(aqi_concentration("pm25", pl.col("v"))).item() == 12.3


def test_each_row_takes_its_own_parameters_expression() -> None:
    frame = pl.DataFrame({"parameter": ["a", "b", "c"], "v": [1, 1, 1]})
    chosen = by_parameter(
        pl.col("parameter"), {"a": pl.col("v") * 10, "b": -pl.col("v")}, pl.lit(0)
    )
    assert frame.select(chosen.alias("x"))["x"].to_list() == [10, -1, 0]


@pytest.mark.parametrize(
    ("parameter", "level"),
    [("pm25", 15.0), ("pm10", 45.0), ("no2", 25.0), ("so2", 40.0), ("co", 4.0), ("o3", 100.0)],
)
def test_who_guideline_is_exceeded_above_its_level_only(parameter: str, level: float) -> None:
    day = date(2024, 3, 2)

    # Two days, so that every running 8-hour window of the day is full.
    readings = pl.concat(
        hourly([value] * 48, utc(2024, 3, 1), parameter=parameter, station=station)
        for station, value in (("at", level), ("over", level * 1.01))
    )
    found = daily_averages(readings, {}, (day, day))
    assert dict(found.select("station_id", "who_2021_exceeded").iter_rows()) == {
        "at": False,
        "over": True,
    }


def test_no_guideline_means_no_verdict() -> None:
    day = date(2024, 3, 1)
    rows = daily_averages(hourly([20.0] * 24, parameter="temperature"), {}, (day, day))
    assert rows["who_2021_exceeded"].item() is None
    assert rows["aqi"].item() is None


def test_who_level_of_ozone_is_held_against_the_8_hour_maximum() -> None:
    """A mean of 60 µg/m³ with an afternoon at 120."""
    day = date(2024, 3, 2)
    values = [30.0] * 24 + [30.0] * 12 + [120.0] * 8 + [30.0] * 4
    row = daily_averages(hourly(values, parameter="o3"), {}, (day, day)).row(0, named=True)
    assert row["mean"] == 60.0
    assert row["max_8h_mean"] == 120.0
    assert row["who_2021_exceeded"] is True
