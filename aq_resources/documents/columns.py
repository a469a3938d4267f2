"""What answers and published files say of their columns: from the declared tables."""

from __future__ import annotations

import polars as pl
from pydantic import BaseModel, Field

from aq_science.tables.core import Table

_NAMES: dict[type[pl.DataType], str] = {pl.Boolean: "boolean", pl.Date: "date"}


class ColumnDescription(BaseModel):
    """What a column is."""

    name: str
    type: str = Field(description="Type of its values", examples=["number"])
    unit: str | None = Field(description="Unit, or the column that holds it", examples=["unit"])
    description: str


def plain_schema(table: Table) -> pl.Schema:
    """Columns of answers: those declared, text as text whatever its encoding in memory."""
    return pl.Schema({name: _plain(dtype) for name, dtype in table.schema.items()})


def describe(table: Table) -> list[ColumnDescription]:
    """Every column with type, unit and meaning."""
    return [
        ColumnDescription(
            name=column.name,
            type=type_name(column.dtype),
            unit=column.unit,
            description=column.text,
        )
        for column in table.columns
    ]


def type_name(dtype: pl.DataType) -> str:
    """As JSON has it; text that is a day or an instant by its format in OpenAPI."""
    if isinstance(dtype, pl.List):
        return "array"
    if isinstance(dtype, pl.Datetime):
        return "date-time"
    if dtype.is_numeric():
        return "integer" if dtype.is_integer() else "number"
    return _NAMES.get(type(dtype), "string")


def _plain(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if dtype in (pl.Categorical, pl.Enum) else dtype
