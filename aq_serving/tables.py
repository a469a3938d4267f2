"""What answers say of their columns, and their models for OpenAPI: from the declared tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, Field, create_model

from aq_resources.documents.columns import type_name
from aq_science.tables.core import Column, Table

# Of columns whose type alone would make a meaningless example.
_EXAMPLES: dict[str, Any] = {
    "network": "airqino",
    "station_id": "283164601",
    "name": "SMART188",
    "latitude": 5.3357,
    "longitude": -3.9782,
    "country": "CI",
    "city": "Abidjan",
    "timezone": "Africa/Abidjan",
    "parameter": "pm25",
    "parameters": ["pm25", "co"],
    "unit": "µg/m³",
    "unit_native": "µg/m³",
    "flag": "valid",
    "model": "gradient_boosting",
    "mode": "live",
    "rule": "75_percent_of_hours_civil_day",
    "attribution": "AirQino, CNR-IBE and Magenta srl (https://www.airqino.it)",
    "coordinates_source": "upstream",
    "year": 2026,
    "horizon": 1,
    "sensor_id": None,
    "status": None,
    "reason": None,
}


def with_columns(table: Table, *columns: Column) -> Table:
    """The table with further columns."""
    return replace(table, columns=(*table.columns, *columns))


def row_model(table: Table, name: str) -> type[BaseModel]:
    """Model of a row, for OpenAPI."""
    fields: dict[str, Any] = {
        column.name: (
            _annotation(column, nullable=column.name not in table.key),
            Field(description=column.described),
        )
        for column in table.columns
    }
    return create_model(name, __doc__=table.text, **fields)


def example_row(table: Table) -> dict[str, Any]:
    """A row as it may stand in an answer."""
    return {column.name: _example(column) for column in table.columns}


def columns_named(table: Table, names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of the table by name."""
    return tuple(column for column in table.columns if column.name in names)


def _annotation(column: Column, *, nullable: bool) -> Any:
    kind = _value_type(column.dtype)
    return kind | None if nullable else kind


def _value_type(dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Enum):
        return Literal[tuple(dtype.categories)]
    if isinstance(dtype, pl.List):
        return list[str]
    kinds: dict[str, Any] = {
        "date": date,
        "date-time": datetime,
        "integer": int,
        "number": float,
        "boolean": bool,
    }
    return kinds.get(type_name(dtype), str)


def _example(column: Column) -> Any:
    if column.name in _EXAMPLES:
        return _EXAMPLES[column.name]
    if isinstance(column.dtype, pl.Enum):
        return column.dtype.categories[0]
    by_type: dict[str, Any] = {
        "array": [],
        "date-time": "2026-01-31T05:00:00Z",
        "date": "2026-01-31",
        "integer": 1,
        "number": 12.5 if column.unit != "1" else 0.9,
        "boolean": True,
    }
    return by_type.get(type_name(column.dtype), "…")
