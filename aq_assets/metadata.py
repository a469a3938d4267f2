"""Small frames as tables in the UI."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl


def table_metadata(frame: pl.DataFrame, limit: int = 20) -> dg.TableMetadataValue:
    """The first rows of a small frame as a table in the UI."""
    head = frame.head(limit)
    records = [
        dg.TableRecord({name: _cell(value) for name, value in row.items()})
        for row in head.iter_rows(named=True)
    ]
    columns = [dg.TableColumn(name, _column_type(dtype)) for name, dtype in head.schema.items()]
    return dg.TableMetadataValue(records, dg.TableSchema(columns))


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}Z"
    return value if isinstance(value, str | int) or value is None else str(value)


def _column_type(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    return "bool" if dtype == pl.Boolean else "string"
