"""Keyset paging: where a page ended, as an opaque text.

A cursor holds the key of the last row of a page, so that a page begins behind that row whatever
was added or removed meanwhile. It belongs to the request whose page it ended.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from aq_serving.problems import ProblemError, bad_request

LONGEST = 2000
_LARGEST_INTEGER = 2**63 - 1
_DIGEST = 12

Scope = Iterable[tuple[str, str]]
Key = tuple[Any, ...]


def encode(key: Sequence[Any], scope: Scope) -> str:
    """The cursor of the page that ended with the row of this key, of the request of this scope."""
    values = [value.isoformat() if isinstance(value, date) else value for value in key]
    text = json.dumps([_digest(scope), *values], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, scope: Scope, types: Sequence[pl.DataType]) -> Key:
    """The key that a cursor holds.

    Args:
        cursor: As `encode` gave it.
        scope: Of the request that it comes with.
        types: Of the columns of the key.

    Returns:
        A value a column.

    Raises:
        ProblemError: It is no cursor, or another request's.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        digest, *values = json.loads(base64.b64decode(padded, "-_", validate=True))
        key = tuple(_value(*pair) for pair in zip(values, types, strict=True))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise _refusal("is none of this API's") from None
    if digest != _digest(scope):
        raise _refusal("belongs to a request with other parameters")
    return key


def after(order: Sequence[str], key: Key) -> pl.Expr:
    """Rows that sort behind a key.

    Args:
        order: Columns, by which the rows are sorted.
        key: A value for each.

    Returns:
        A condition.
    """
    found, equal = pl.lit(value=False), pl.lit(value=True)
    for name, value in zip(order, key, strict=True):
        found |= equal & (pl.col(name) > value)
        equal &= pl.col(name) == value
    return found


def _digest(scope: Scope) -> str:
    return hashlib.sha256(json.dumps(sorted(scope)).encode()).hexdigest()[:_DIGEST]


def _value(value: Any, dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Datetime):
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError
        return instant
    if isinstance(dtype, pl.Date):
        return date.fromisoformat(value)
    if dtype.is_integer():
        if type(value) is not int or abs(value) > _LARGEST_INTEGER:
            raise ValueError
        return value
    if dtype.is_float():
        return float(value)
    if not isinstance(value, str):
        raise TypeError
    return value


def _refusal(reason: str) -> ProblemError:
    return bad_request(
        f"cursor {reason}. Take it from the link `next` of the page before, with the same "
        "parameters, or leave it out to begin at the first page.",
        "cursor",
    )
