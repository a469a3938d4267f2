"""Small frames as tables in the UI, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from aq_science.parameters import PARAMETERS

# A metre of a position is its fifth decimal.
_DEGREES = ("latitude", "longitude")


def table_metadata(frame: pl.DataFrame, limit: int = 20) -> dg.TableMetadataValue:
    """The first rows of a small frame as a table in the UI."""
    head = frame.head(limit)
    records = [
        dg.TableRecord({name: _cell(name, value) for name, value in row.items()})
        for row in head.iter_rows(named=True)
    ]
    columns = [dg.TableColumn(name, _column_type(dtype)) for name, dtype in head.schema.items()]
    return dg.TableMetadataValue(records, dg.TableSchema(columns))


def named(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """The frame with the names of its stations, by `station_id`, before all other columns."""
    if not names or "station_id" not in frame.columns:
        return frame
    station = pl.col("station_id").cast(pl.String).replace(names)
    return frame.select(station.alias("station"), pl.all())


def unit_key(name: str, parameter: str) -> str:
    """The name of a number in the canonical unit of a parameter, as `mean_pm25_ug_m3`."""
    unit = PARAMETERS[parameter].unit
    return f"{name}_{unit.replace('µ', 'u').replace('³', '3').replace('/', '_')}"


def percent(part: float, whole: float) -> float:
    """The part of a hundred, to a tenth; 0 of nothing."""
    return round(100 * part / whole, 1) if whole else 0.0


def rounded(value: float) -> float:
    """The number to three digits."""
    return float(f"{value:.3g}")


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5) if name in _DEGREES else float(f"{value:.4g}")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}Z"
    return value if isinstance(value, str | int) or value is None else str(value)


def _column_type(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    return "bool" if dtype == pl.Boolean else "string"
