"""The rows of `index_categories`: every version of every index, made from the indices' own data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from aq_science.indices import european, us_epa, us_epa_categories
from aq_science.indices.us_epa_tables import (
    INDEX_UNITS,
    MAX_1H,
    MEAN_24H,
    US_EPA_TABLES,
    UsEpaTable,
)
from aq_science.tables.index_categories import INDEX_CATEGORIES

# From this 1-hour mean on (ppm) ozone is hazardous; its 8-hour bands end before (Appendix G, Table
# 2, in every version).
_O3_HAZARDOUS = 0.405

_WORST = len(us_epa.CATEGORIES)


class _Span(NamedTuple):
    """Concentrations and indices of a category, open-ended where there is no upper end."""

    rank: int
    lower: float
    upper: float | None
    index_low: int
    index_high: int | None
    averaging: str


def index_categories() -> pl.DataFrame:
    """`INDEX_CATEGORIES` rows, by index, version from the oldest, parameter and rank."""
    of_us_epa = [row for table in US_EPA_TABLES for row in _us_epa(table)]
    return pl.DataFrame([*of_us_epa, *_european()], INDEX_CATEGORIES.schema)


def _us_epa(table: UsEpaTable) -> Iterator[dict[str, object]]:
    for parameter in table.bands:
        for span in _us_epa_spans(table, parameter):
            place = span.rank - 1
            yield {
                "index_name": "us_epa",
                "table_name": table.name,
                "in_force_from": table.in_force_from,
                "parameter": parameter,
                "category": us_epa.CATEGORIES[place],
                "unit": INDEX_UNITS[parameter][0],
                "colour": us_epa_categories.COLOURS[place],
                "advice": us_epa_categories.ADVICE[parameter][place],
                "source": f"{table.source}; advice: {us_epa_categories.ADVICE_SOURCE}",
                **span._asdict(),
            }


def _us_epa_spans(table: UsEpaTable, parameter: str) -> Iterator[_Span]:
    averaging = table.averaging[parameter]
    for rank, first in enumerate(us_epa.LOWEST_INDICES, start=1):
        # A bad category can have two bands, each with a slope of its own.
        last = us_epa.LOWEST_INDICES[rank] if rank < _WORST else math.inf
        bands = [band for band in table.bands[parameter] if first <= band[2] < last]
        if bands:
            lower, upper, index_high = bands[0][0], bands[-1][1], bands[-1][3]
            by_mean = parameter == "so2" and lower >= us_epa.SO2_BY_MEAN
            compared = MEAN_24H if by_mean else averaging
            worst = rank == _WORST
            yield _Span(
                rank,
                float(lower),
                None if worst else float(upper),
                first,
                None if worst else index_high,
                compared,
            )
        elif parameter == "o3":
            yield _Span(rank, _O3_HAZARDOUS, None, first, None, MAX_1H)


def _european() -> Iterator[dict[str, object]]:
    for parameter, bounds in european.UPPER_BOUNDS.items():
        levels = zip((0.0, *bounds), (*bounds, None), strict=True)
        for rank, (lower, upper) in enumerate(levels, start=1):
            place = rank - 1
            yield {
                "index_name": "european",
                "table_name": european.NAME,
                "in_force_from": None,
                "parameter": parameter,
                "category": european.CATEGORIES[place],
                "unit": "µg/m³",
                "colour": european.COLOURS[place],
                "advice": european.ADVICE[place],
                "source": european.SOURCE,
                **_Span(rank, lower, upper, rank, rank, "hour")._asdict(),
            }
