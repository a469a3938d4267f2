"""Rows in the form that is asked for, with units, columns and attribution.

JSON has columns, units and attribution beside the rows, Parquet and Arrow in their metadata. CSV
has nothing but rows: there headers have to say the rest.
"""

from __future__ import annotations

import enum
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from aq_resources.attribution import ATTRIBUTION
from aq_resources.documents.columns import describe
from aq_resources.documents.credits import Credit
from aq_science.tables.core import Table

_INSTANT = "%Y-%m-%dT%H:%M:%S%.fZ"
_SPATIAL = ("latitude", "longitude")


class Format(enum.StrEnum):
    """A form of an answer; its name is the extension and the value of `format`."""

    json = "json"
    csv = "csv"
    geojson = "geojson"
    parquet = "parquet"
    arrow = "arrow"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    Format.json: "application/json",
    Format.csv: "text/csv",
    Format.geojson: "application/geo+json",
    Format.parquet: "application/vnd.apache.parquet",
    Format.arrow: "application/vnd.apache.arrow.stream",
}

TABULAR = (Format.json, Format.csv, Format.parquet, Format.arrow)
SPATIAL = (*TABULAR, Format.geojson)


@dataclass(frozen=True)
class Answer:
    """What is answered or published.

    Attributes:
        table: What the rows are.
        rows: In the table's columns, text for categories.
        credits: Whom to credit for them.
        next: Address of the next page, relative to the host; None on the last.
        more: Further members of JSON.
    """

    table: Table
    rows: pl.DataFrame
    credits: Sequence[Credit] = ()
    next: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def encode(answer: Answer, form: Format) -> bytes:
    """The answer in a form; the same answer gives the same bytes."""
    return _ENCODERS[form](answer)


def _json(answer: Answer) -> bytes:
    head = {
        **answer.more,
        "next": answer.next,
        "attribution": [credit.model_dump() for credit in answer.credits],
        "columns": [column.model_dump() for column in describe(answer.table)],
    }
    # The rows by polars, which writes them thirty times as fast as any encoder of objects.
    rows = _as_text(answer.rows).write_json().encode()
    return b'{"data":' + rows + b"," + msgspec.json.encode(head)[1:]


def _csv(answer: Answer) -> bytes:
    flat = _as_text(answer.rows).with_columns(
        pl.Series(name, [_list_as_json(value) for value in answer.rows[name]], pl.String)
        for name, dtype in answer.rows.schema.items()
        if isinstance(dtype, pl.List)
    )
    return flat.write_csv().encode()


def _geojson(answer: Answer) -> bytes:
    features = []
    for row in _as_text(answer.rows).iter_rows(named=True):
        latitude, longitude = (row.pop(name) for name in _SPATIAL)
        point = {"type": "Point", "coordinates": [longitude, latitude]}
        features.append(
            {
                "type": "Feature",
                "geometry": None if latitude is None or longitude is None else point,
                "properties": row,
            }
        )
    return msgspec.json.encode(
        {
            "type": "FeatureCollection",
            "features": features,
            "next": answer.next,
            "attribution": [credit.model_dump() for credit in answer.credits],
            "columns": [column.model_dump() for column in describe(answer.table)],
        }
    )


def _parquet(answer: Answer) -> bytes:
    buffer = io.BytesIO()
    answer.rows.write_parquet(buffer, compression="zstd", metadata=_metadata(answer))
    return buffer.getvalue()


def _arrow(answer: Answer) -> bytes:
    import pyarrow as pa

    # Readers of other languages know the older layout alone.
    table = answer.rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    fields = [
        table.schema.field(column.name).with_metadata(
            {"description": column.text, **({"unit": column.unit} if column.unit else {})}
        )
        for column in answer.table.columns
    ]
    table = table.cast(pa.schema(fields, metadata=_metadata(answer)))
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def _metadata(answer: Answer) -> dict[str, str]:
    credited = [credit.model_dump() for credit in answer.credits]
    columns = [column.model_dump() for column in describe(answer.table)]
    return {
        ATTRIBUTION: json.dumps(credited, ensure_ascii=False),
        "columns": json.dumps(columns, ensure_ascii=False),
        **({} if answer.next is None else {"next": answer.next}),
    }


def _as_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Instants in ISO 8601 as text, and no number that JSON does not have."""
    instants = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.Datetime)]
    floats = [name for name, dtype in rows.schema.items() if dtype.is_float()]
    return rows.with_columns(
        pl.col(instants).dt.to_string(_INSTANT),
        *(pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in floats),
    )


def _list_as_json(value: pl.Series | None) -> str | None:
    return None if value is None else msgspec.json.encode(value.to_list()).decode()


_ENCODERS = {
    Format.json: _json,
    Format.csv: _csv,
    Format.geojson: _geojson,
    Format.parquet: _parquet,
    Format.arrow: _arrow,
}
