"""The data dictionary's generated parts: `python -m aq_resources.warehouse.dictionary FILE`.

Of each section named after a table, the first paragraph and the table of columns are made from the
declaration; what else stands there is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import polars as pl

from aq_resources.warehouse.ddl import sql_type
from aq_science.tables.core import Table
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.tables.network_models import NETWORK_MODELS
from aq_science.tables.registry import REFERENCE_VIEWS, WAREHOUSE_TABLES, WAREHOUSE_VIEWS

DOCUMENTED = {
    **WAREHOUSE_TABLES,
    **WAREHOUSE_VIEWS,
    **REFERENCE_VIEWS,
    NETWORK_MODELS.name: NETWORK_MODELS,
    FORECAST_MODELS.name: FORECAST_MODELS,
}

_GENERATED = r"(^## {}\n).*?(^\| column \|.*?\n(?=\n|\Z))"


def updated(dictionary: str) -> str:
    """The dictionary with its generated parts as the tables are declared now."""
    for name, table in DOCUMENTED.items():
        pattern = re.compile(_GENERATED.format(name), re.MULTILINE | re.DOTALL)
        made = f"## {name}\n\n{described(table)}"
        # A backslash in a replacement would be an escape.
        dictionary, count = pattern.subn(made.replace("\\", r"\\"), dictionary)
        if count != 1:
            raise ValueError(f"the dictionary has {count} sections of {name} with columns")
    return dictionary


def described(table: Table) -> str:
    """What a row is, the key, and the columns, as Markdown."""
    lines = [
        f"{table.text} Key: `{', '.join(table.key)}`.",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    for column in table.columns:
        unit = column.unit or ""
        shown = f"`{unit}`" if unit in table.schema else unit
        lines.append(f"| `{column.name}` | {_type(column.dtype)} | {shown} | {column.text} |")
    return "\n".join(lines) + "\n"


def _type(dtype: pl.DataType) -> str:
    """DuckDB's; the fields of a struct have a table of their own."""
    kind = sql_type(dtype)
    return "STRUCT[]" if kind.startswith("STRUCT") else kind


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text("utf-8")), "utf-8")
