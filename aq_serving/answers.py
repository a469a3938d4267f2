"""Answers: rows in the form that was asked for, with all that has to be known to use them.

JSON has columns, units and attribution beside the rows, Parquet and Arrow in their metadata. CSV
has nothing but rows: there, as for all, the header `Link` leads to the next page and to what the
columns mean, and `Attribution` names whom to credit.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
import polars as pl
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.attribution import ATTRIBUTION
from aq_science.tables.core import Table
from aq_serving.formats import Format
from aq_serving.tables import Credit, describe

# Readings come once an hour; a minute spares the warehouse most of a crowd's requests.
MAX_AGE_SECONDS = 60
# A header longer than this is refused by proxies.
_LONGEST_HEADER = 4000
_INSTANT = "%Y-%m-%dT%H:%M:%S%.fZ"
_SPATIAL = ("latitude", "longitude")


@dataclass(frozen=True)
class Answer:
    """What is answered.

    Attributes:
        table: What the rows are.
        rows: In the table's columns.
        credits: Whom to credit for them.
        next: Address of the next page, relative to the host; None on the last.
        more: Further members of JSON.
    """

    table: Table
    rows: pl.DataFrame
    credits: Sequence[Credit] = ()
    next: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def respond(request: Request, answer: Answer, form: Format) -> Response:
    """The answer as a response; without a body where the client has the same one already.

    Args:
        request: For `If-None-Match`.
        answer: What is answered.
        form: In which form.

    Returns:
        The response, with all that caches need.
    """
    body = _ENCODERS[form](answer)
    # Weak: compressed by the server or not, it is the same to whoever reads it.
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
        "Link": ", ".join(_links(answer)),
    }
    attributions = quote("; ".join(credit.attribution for credit in answer.credits), safe=" ;:/()")
    if 0 < len(attributions) <= _LONGEST_HEADER:
        headers["Attribution"] = attributions
    if _has_it(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=form.media_type)


def _links(answer: Answer) -> Iterator[str]:
    if answer.next is not None:
        yield f'<{answer.next}>; rel="next"'
    yield f'</v1/tables/{answer.table.name}>; rel="describedby"'
    yield '</v1/attribution>; rel="license"'


def _has_it(known: str, tag: str) -> bool:
    tags = {part.strip() for part in known.split(",")}
    return "*" in tags or tag in tags


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
