"""JSON as networks write it: what is wrong with one value costs that value, never the answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec

# What msgspec's decoders raise for bodies that `read_json` may still read.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Longer integers are read as floats: there is no column that holds them, and Python refuses to
# read or show one of more than 4,300 digits.
_INTEGER_DIGITS = 19


class NotJsonError(ValueError):
    """A body that is no JSON, is cut off, or is nested too deeply to be read."""


def read_json(body: str | bytes) -> Any:
    """Read a body, with msgspec where that can.

    What RFC 8259 forbids and some networks send is read as well: a byte-order mark, `NaN` and the
    infinities, numbers that no float can hold (infinite), control characters, and halves of
    surrogate pairs and bytes that are no UTF-8 (U+FFFD). Of a key given twice the last value
    stands; lists are joined there.

    Args:
        body: Text, or UTF-8.

    Returns:
        Dictionaries, lists, texts, numbers, booleans and None.

    Raises:
        NotJsonError: where it is none even so.
    """
    try:
        return msgspec.json.decode(body)
    except UNDECODABLE as error:
        first = error
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        value = _lenient.decode(text.removeprefix("\ufeff"))
        return _whole_characters(value) if "\\ud" in text.lower() else value
    except (ValueError, RecursionError):
        # msgspec's words: they name what is wrong with JSON, and where.
        raise NotJsonError(str(first)) from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits.lstrip("-")) <= _INTEGER_DIGITS else float(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        earlier = found.get(key)
        if isinstance(earlier, list) and isinstance(value, list):
            earlier += value
        else:
            found[key] = value
    return found


def _whole_characters(value: Any) -> Any:
    """The value without halves of surrogate pairs, which no store could keep."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_characters(one) for one in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(one) for key, one in value.items()}
    return value


_lenient = json.JSONDecoder(strict=False, parse_int=_integer, object_pairs_hook=_object)
