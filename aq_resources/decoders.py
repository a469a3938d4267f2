"""Decoders of JSON into structs, each made by one thread at a time.

msgspec (0.22) prepares a struct when a decoder or a conversion first needs it, and a second thread
that comes meanwhile finds it half-prepared: the process ends with a segmentation fault. A decoder
of a module is made at its import, which is one thread's too; all others are made here.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")

_one_at_a_time = threading.Lock()
_made: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder_of(kind: type[Kind]) -> msgspec.json.Decoder[Kind]:
    """The decoder of a struct, made when it is first asked for."""
    with _one_at_a_time:
        if kind not in _made:
            _made[kind] = msgspec.json.Decoder(kind)
        return _made[kind]


def converted(value: object, kind: type[Kind]) -> Kind:
    """What was read from JSON as this kind; raises msgspec.ValidationError where it is not."""
    decoder_of(kind)
    return msgspec.convert(value, kind)
