"""A sensor's cursor: a typed struct, kept by Dagster as JSON between two ticks.

Cursors outlive upgrades. A field that gets another name keeps the stored one (`rename` of
`msgspec.Struct`), so that pending runs, abandoned days and open incidents are not forgotten.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from aq_resources.decoders import decoder_of

# A stored time without a zone was not written by us.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]

Cursor = TypeVar("Cursor")


def read_cursor(text: str | None, kind: type[Cursor]) -> Cursor:
    """The stored cursor; a new one where there is none or it has another form."""
    if text:
        try:
            return decoder_of(kind).decode(text)
        except msgspec.DecodeError:
            return kind()
    return kind()


def write_cursor(cursor: object) -> str:
    """The cursor as the text that Dagster keeps."""
    return msgspec.json.encode(cursor).decode()
