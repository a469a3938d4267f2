"""A search for marks in everything that was kept, whatever it is packed in."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote, quote_plus

import polars as pl
import zstandard

SQLITE = b"SQLite format 3\0"
ZSTD, GZIP, PARQUET, ZLIB = PACKED = (b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"PAR1", b"x")


def found_in(data: bytes, marks: Mapping[str, str]) -> set[str]:
    """Names of the marks that `data` holds, packed or not, in any spelling."""
    return {
        name
        for content in unpacked(data)
        for name, mark in marks.items()
        if any(form in content for form in spellings(mark))
    }


def leaks(folder: Path, marks: Mapping[str, str]) -> list[str]:
    """`file: name of the mark` for every file below `folder` that holds one."""
    return sorted(
        f"{path.relative_to(folder)}: {name}"
        for path in folder.rglob("*")
        if path.is_file()
        for content in contents(path)
        for name in found_in(content, marks)
    )


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes; of a database every value as well, since a page may cut one in two."""
    data = path.read_bytes()
    yield data
    if data.startswith(SQLITE):
        with contextlib.closing(sqlite3.connect(path)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                # Together, since a search in a hundred thousand small values takes many times as
                # long; no mark has the byte between them.
                plain = []
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    for value in row:
                        data = b"" if value is None else as_bytes(value)
                        if data.startswith(PACKED):
                            yield data
                        else:
                            plain.append(data)
                yield b"\0".join(plain)


def as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@cache
def spellings(mark: str) -> tuple[bytes, ...]:
    """As it is, in an address, and in base64 wherever it begins within a longer text."""
    plain = (mark, quote(mark), quote(mark, safe=""), quote_plus(mark))
    encoded = (
        # The last character depends on what follows.
        base64.b64encode(b"x" * before + mark.encode()).rstrip(b"=")[cut:-1]
        for before, cut in ((0, 0), (1, 2), (2, 3))
    )
    return (*dict.fromkeys(one.encode() for one in plain), *encoded)


def unpacked(data: bytes) -> Iterator[bytes]:
    """`data`, and what is in it where it is packed."""
    yield data
    if data.startswith(ZSTD):
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            yield from unpacked(reader.read())
    elif data.startswith(GZIP):
        yield from unpacked(gzip.decompress(data))
    elif data.startswith(PARQUET):
        yield repr(pl.read_parquet(io.BytesIO(data)).to_dicts()).encode()
    elif data.startswith(ZLIB):
        with contextlib.suppress(zlib.error):
            yield from unpacked(zlib.decompress(data))
