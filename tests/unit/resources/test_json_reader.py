"""JSON as networks write it: one odd value costs itself, never its neighbours."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.http.json_reader import NotJsonError, read_json


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" * 5000])
def test_a_number_that_is_none_costs_itself_alone(odd: str) -> None:
    read = read_json(f'{{"rows": [{{"value": {odd}, "unit": "µg/m³"}}, 2]}}')
    odd_row, other = read["rows"]
    assert not math.isfinite(odd_row["value"])
    assert (odd_row["unit"], other) == ("µg/m³", 2)


@pytest.mark.parametrize("form", [str, str.encode], ids=["text", "bytes"])
def test_a_byte_order_mark_is_no_content(form: Callable[[str], str | bytes]) -> None:
    assert read_json(form('\ufeff{"a": 1}')) == {"a": 1}


def test_half_a_surrogate_pair_becomes_a_sign_that_can_be_stored() -> None:
    read = read_json('{"\\ud800": ["x\\udc00y", {"k": "\\ud83d\\ude00"}], "n": 1}')
    assert read == {"�": ["x�y", {"k": "😀"}], "n": 1}


def test_bytes_that_are_no_utf_8_cost_their_text_alone() -> None:
    assert read_json(b'{"city": "Li\xe8ge", "value": 7}') == {"city": "Li�ge", "value": 7}


def test_a_control_character_within_a_text_is_read() -> None:
    assert read_json('{"a": "x\ty"}') == {"a": "x\ty"}


def test_of_a_key_given_twice_the_last_value_stands_and_lists_are_joined() -> None:
    body = '{"v": 1, "v": 2, "data": [1], "data": [2], "odd": NaN}'
    read = read_json(body)
    assert (read["v"], read["data"]) == (2, [1, 2])


@pytest.mark.parametrize(
    "body", ["", " ", "\ufeff", "[1", '{"a": NaN', "<html>", "[1] 2", "[" * 100_000 + "]" * 100_000]
)
def test_what_is_no_json_says_so(body: str) -> None:
    with pytest.raises(NotJsonError):
        read_json(body)


@given(st.text() | st.binary())
def test_anything_is_read_or_refused(body: str | bytes) -> None:
    with contextlib.suppress(NotJsonError):
        read_json(body)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    # No half of a pair: it would be replaced.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(_values)
def test_both_ways_of_reading_agree(value: object) -> None:
    text = json.dumps(value)
    assert read_json("\ufeff" + text) == msgspec.json.decode(text) == value
