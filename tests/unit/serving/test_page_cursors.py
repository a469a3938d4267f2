"""Cursors: what goes in comes out, for the same request alone; and pages cut by them are whole."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_serving.cursors import after, decode, encode
from aq_serving.problems import ProblemError

SCOPE = [("", "/v1/x"), ("network", "airqino")]
TYPES: list[pl.DataType] = [
    pl.Datetime("us", "UTC"),
    pl.String(),
    pl.Int8(),
    pl.Date(),
    pl.Float64(),
]
KEYS = st.tuples(
    st.datetimes(timezones=st.just(UTC)),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**62), 2**62),
    st.dates(),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(KEYS)
def test_a_key_comes_back(key: tuple[Any, ...]) -> None:
    cursor = encode(key, SCOPE)
    assert decode(cursor, SCOPE, TYPES) == key
    assert decode(cursor, reversed(SCOPE), TYPES) == key
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_another_request_cannot_use_it() -> None:
    cursor = encode(["s1"], SCOPE)
    with pytest.raises(ProblemError, match="other parameters"):
        decode(cursor, [("", "/v1/x")], [pl.String()])


def forged(*values: Any) -> str:
    genuine = encode([], SCOPE)
    digest = json.loads(base64.urlsafe_b64decode(genuine + "=="))[0]
    return base64.urlsafe_b64encode(json.dumps([digest, *values]).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%00",
        "ä",
        "e30",
        forged(),
        forged("s1", "s2"),
        forged(None),
        forged([1]),
        base64.b64encode(b"[" * 1500).decode(),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ProblemError, match="cursor") as caught:
        decode(cursor, SCOPE, [pl.String()])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (10**30, pl.Int8()),
        (1.5, pl.Int8()),
        (True, pl.Int8()),
        ("2024-01-01T00:00:00", pl.Datetime("us", "UTC")),
        ("never", pl.Date()),
        (7, pl.Date()),
        ("x", pl.Float64()),
    ],
)
def test_a_forged_value_is_refused(value: Any, dtype: pl.DataType) -> None:
    with pytest.raises(ProblemError, match="none of this API's"):
        decode(forged(value), SCOPE, [dtype])


@given(
    st.lists(
        st.tuples(st.dates(date(2024, 1, 1), date(2024, 1, 3)), st.sampled_from("abc")), unique=True
    ),
    st.integers(1, 5),
)
def test_pages_have_every_row_once_and_in_order(rows: list[tuple[date, str]], size: int) -> None:
    order = ("date", "station")
    frame = pl.DataFrame(rows, {"date": pl.Date(), "station": pl.String()}, orient="row")
    pages, key = list[Any](), None
    while True:
        rest = frame if key is None else frame.filter(after(order, key))
        page = rest.sort(order).head(size).rows()
        if not page:
            break
        pages += page
        key = decode(encode(page[-1], SCOPE), SCOPE, [pl.Date(), pl.String()])
    assert pages == sorted(rows)


def test_instants_keep_their_microseconds() -> None:
    moment = datetime(2024, 1, 1, 1, 2, 3, 456789, tzinfo=UTC)
    assert decode(encode([moment], SCOPE), SCOPE, TYPES[:1]) == (moment,)
