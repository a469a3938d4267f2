"""Breakpoints of the US EPA index (40 CFR 58, Appendix G, Table 2), each table with its dates.

A rule replaces the breakpoints of some pollutants; the others go on as they were. The dates are
those on which the rules took effect, as the Federal Register gives them. Concentrations are in the
units of `INDEX_UNITS`: those that the law gives in ppm for SO2 and NO2 until 2010 are in ppb here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

# Which table a day is judged by: today's, so that years compare, or the one in force on the day.
AqiTable = Literal["2024", "by_date"]

# What of a day is held against a table.
MEAN_24H, MAX_8H, MAX_1H = "24-hour mean", "highest 8-hour mean", "highest hour"

# (lowest concentration, highest concentration, lowest index, highest index)
Band = tuple[float, float, int, int]

# The table's unit and the decimals to which a concentration is truncated, by parameter.
INDEX_UNITS = {
    "pm25": ("µg/m³", 1),
    "pm10": ("µg/m³", 0),
    "co": ("ppm", 1),
    "o3": ("ppm", 3),
    "no2": ("ppb", 0),
    "so2": ("ppb", 0),
}


@dataclass(frozen=True)
class UsEpaTable:
    """The breakpoints in force from one day on.

    `bands` and `averaging` are by parameter; a concentration below the first band has no index.
    """

    name: str
    in_force_from: date
    source: str
    bands: Mapping[str, tuple[Band, ...]]
    averaging: Mapping[str, str]


US_EPA_1999 = UsEpaTable(
    name="1999",
    in_force_from=date(1999, 10, 4),
    source="64 FR 42530",
    bands={
        "pm25": (
            (0.0, 15.4, 0, 50),
            (15.5, 40.4, 51, 100),
            (40.5, 65.4, 101, 150),
            (65.5, 150.4, 151, 200),
            (150.5, 250.4, 201, 300),
            (250.5, 350.4, 301, 400),
            (350.5, 500.4, 401, 500),
        ),
        "co": (
            (0.0, 4.4, 0, 50),
            (4.5, 9.4, 51, 100),
            (9.5, 12.4, 101, 150),
            (12.5, 15.4, 151, 200),
            (15.5, 30.4, 201, 300),
            (30.5, 40.4, 301, 400),
            (40.5, 50.4, 401, 500),
        ),
        "pm10": (
            (0, 54, 0, 50),
            (55, 154, 51, 100),
            (155, 254, 101, 150),
            (255, 354, 151, 200),
            (355, 424, 201, 300),
            (425, 504, 301, 400),
            (505, 604, 401, 500),
        ),
        "o3": (
            (0.0, 0.064, 0, 50),
            (0.065, 0.084, 51, 100),
            (0.085, 0.104, 101, 150),
            (0.105, 0.124, 151, 200),
            (0.125, 0.374, 201, 300),
        ),
        # There was no standard for a day or an hour, so that only what is very high had an index.
        "no2": (
            (650, 1249, 201, 300),
            (1250, 1649, 301, 400),
            (1650, 2049, 401, 500),
        ),
        "so2": (
            (0, 34, 0, 50),
            (35, 144, 51, 100),
            (145, 224, 101, 150),
            (225, 304, 151, 200),
            (305, 604, 201, 300),
            (605, 804, 301, 400),
            (805, 1004, 401, 500),
        ),
    },
    averaging={
        "pm25": MEAN_24H,
        "co": MAX_8H,
        "pm10": MEAN_24H,
        "o3": MAX_8H,
        "no2": MAX_1H,
        "so2": MEAN_24H,
    },
)

US_EPA_2008 = UsEpaTable(
    name="2008",
    in_force_from=date(2008, 5, 27),
    source="73 FR 16436",
    bands={
        **US_EPA_1999.bands,
        "o3": (
            (0.0, 0.059, 0, 50),
            (0.060, 0.075, 51, 100),
            (0.076, 0.095, 101, 150),
            (0.096, 0.115, 151, 200),
            (0.116, 0.374, 201, 300),
        ),
    },
    averaging=US_EPA_1999.averaging,
)

US_EPA_2010_NO2 = UsEpaTable(
    name="2010-04",
    in_force_from=date(2010, 4, 12),
    source="75 FR 6474",
    bands={
        **US_EPA_2008.bands,
        "no2": (
            (0, 53, 0, 50),
            (54, 100, 51, 100),
            (101, 360, 101, 150),
            (361, 649, 151, 200),
            *US_EPA_2008.bands["no2"],
        ),
    },
    averaging=US_EPA_2008.averaging,
)

US_EPA_2010_SO2 = UsEpaTable(
    name="2010-08",
    in_force_from=date(2010, 8, 23),
    source="75 FR 35520",
    bands={
        **US_EPA_2010_NO2.bands,
        "so2": (
            (0, 35, 0, 50),
            (36, 75, 51, 100),
            (76, 185, 101, 150),
            (186, 304, 151, 200),
            (305, 604, 201, 300),
            (605, 804, 301, 400),
            (805, 1004, 401, 500),
        ),
    },
    averaging={**US_EPA_2010_NO2.averaging, "so2": MAX_1H},
)

US_EPA_2013 = UsEpaTable(
    name="2013",
    in_force_from=date(2013, 3, 18),
    source="78 FR 3086",
    bands={
        **US_EPA_2010_SO2.bands,
        "pm25": (
            (0.0, 12.0, 0, 50),
            (12.1, 35.4, 51, 100),
            (35.5, 55.4, 101, 150),
            (55.5, 150.4, 151, 200),
            (150.5, 250.4, 201, 300),
            (250.5, 350.4, 301, 400),
            (350.5, 500.4, 401, 500),
        ),
    },
    averaging=US_EPA_2010_SO2.averaging,
)

US_EPA_2015 = UsEpaTable(
    name="2015",
    in_force_from=date(2015, 12, 28),
    source="80 FR 65292",
    bands={
        **US_EPA_2013.bands,
        "o3": (
            (0.0, 0.054, 0, 50),
            (0.055, 0.070, 51, 100),
            (0.071, 0.085, 101, 150),
            (0.086, 0.105, 151, 200),
            (0.106, 0.200, 201, 300),
        ),
    },
    averaging=US_EPA_2013.averaging,
)


def _one_hazardous_band(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """As before, with the bands from 301 on as one, which the rule of 2024 made of two."""
    below = tuple(band for band in bands if band[2] < 301)
    lowest, highest = bands[len(below)], bands[-1]
    return (*below, (lowest[0], highest[1], lowest[2], highest[3]))


US_EPA_2024 = UsEpaTable(
    name="2024",
    in_force_from=date(2024, 5, 6),
    source="89 FR 16202; EPA-454/B-24-002",
    bands={
        "pm25": (
            (0.0, 9.0, 0, 50),
            (9.1, 35.4, 51, 100),
            (35.5, 55.4, 101, 150),
            (55.5, 125.4, 151, 200),
            (125.5, 225.4, 201, 300),
            (225.5, 325.4, 301, 500),
        ),
        "co": _one_hazardous_band(US_EPA_2015.bands["co"]),
        "pm10": _one_hazardous_band(US_EPA_2015.bands["pm10"]),
        "o3": US_EPA_2015.bands["o3"],
        "no2": _one_hazardous_band(US_EPA_2015.bands["no2"]),
        "so2": _one_hazardous_band(US_EPA_2015.bands["so2"]),
    },
    averaging=US_EPA_2015.averaging,
)

# From the oldest to the newest.
US_EPA_TABLES = (
    US_EPA_1999,
    US_EPA_2008,
    US_EPA_2010_NO2,
    US_EPA_2010_SO2,
    US_EPA_2013,
    US_EPA_2015,
    US_EPA_2024,
)


def table_on(day: date) -> UsEpaTable:
    """The table in force on a day; before October 1999, when the index began, its first one.

    >>> table_on(date(2020, 1, 1)).name
    '2015'
    """
    in_force = [table for table in US_EPA_TABLES if table.in_force_from <= day]
    return in_force[-1] if in_force else US_EPA_TABLES[0]


def tables_between(first: date, last: date) -> tuple[UsEpaTable, ...]:
    """Every table in force on a day of `[first, last]`, from the oldest to the newest."""
    since = US_EPA_TABLES.index(table_on(first))
    return US_EPA_TABLES[since : US_EPA_TABLES.index(table_on(last)) + 1]
