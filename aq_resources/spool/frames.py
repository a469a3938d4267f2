"""Frames: what a request brought for one day, as bytes that tell whether they are whole."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntFlag
from typing import Any

import msgspec

_HEADER = struct.Struct("<II")
# More than any request can bring: a length beyond it is damage.
MOST_BYTES = 1 << 26


class Note(IntFlag):
    """What is to be said of a reading."""

    NAIVE = 1
    """Its stamp had no offset, and was read as UTC."""
    LATE = 2
    """It came long after it was measured."""


class Readings(msgspec.Struct, array_like=True, tag=1):
    """Readings of one fleet and UTC day that came together, column by column; times in µs."""

    fleet: str
    received: int
    device: list[str]
    sensor: list[str]
    time: list[int]
    value: list[float]
    note: list[int]


class Refusals(msgspec.Struct, array_like=True, tag=2):
    """What one request brought and was not taken; the day is that of receipt."""

    fleet: str
    key: str
    received: int
    index: list[int]
    field: list[str]
    reason: list[str]
    raw: list[str]


Frame = Readings | Refusals

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """The frame with its length and checksum before it."""
    body = _encoder.encode(frame)
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def decode(data: bytes) -> Iterator[Frame]:
    """The whole frames at the beginning of `data`.

    What comes after is the torn end of a write that was never acknowledged.
    """
    at = 0
    view = memoryview(data)
    while at + _HEADER.size <= len(view):
        length, checksum = _HEADER.unpack_from(view, at)
        body = view[at + _HEADER.size : at + _HEADER.size + length]
        if not 0 < length <= MOST_BYTES or len(body) < length or zlib.crc32(body) != checksum:
            return
        yield _decoder.decode(body)
        at += _HEADER.size + length


def fitting(frame: bytes, most: int) -> Iterator[bytes]:
    """A frame as frames of at most so many bytes, where its rows let it be cut.

    Args:
        frame: As `encode` gives it.
        most: Bytes.

    Yields:
        The frame, or its halves, and so on.
    """
    if len(frame) <= most:
        yield frame
        return
    [whole] = decode(frame)
    columns: dict[str, Any] = msgspec.structs.asdict(whole)
    rows = max(len(column) for column in columns.values() if isinstance(column, list))
    if rows == 1:
        yield frame
        return
    for part in (slice(None, rows // 2), slice(rows // 2, None)):
        half: dict[str, Any] = {
            name: column[part] if isinstance(column, list) else column
            for name, column in columns.items()
        }
        yield from fitting(encode(type(whole)(**half)), most)
