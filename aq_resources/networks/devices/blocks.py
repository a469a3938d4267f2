"""Readings of many devices, a block of devices at a time: beyond some rows they wait on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from aq_science.devices.readings import READING_SCHEMA

# Rows that are held at once, of about 40 bytes each.
MOST_ROWS = 1_000_000
# A day of 5,000 devices that push every ten seconds is 43 million readings: 1.4 million a block.
BLOCKS = 32
_TEXTS = [name for name, kind in READING_SCHEMA.items() if kind == pl.Categorical]


class Blocks:
    """Takes readings in any order, and gives all of a device together."""

    def __init__(self, folder: Path, most_rows: int = MOST_ROWS) -> None:
        """Write nothing yet.

        Args:
            folder: Takes files, which are the caller's to delete.
            most_rows: Rows held at once before they are written.
        """
        self._folder, self._most_rows = folder, most_rows
        self._held: list[pl.DataFrame] = []
        self._rows = self._files = 0

    def add(self, readings: pl.DataFrame) -> None:
        """Take readings, `READING_SCHEMA`."""
        self._held.append(readings)
        self._rows += readings.height
        if self._rows >= self._most_rows:
            self._write()

    def read(self) -> Iterator[pl.DataFrame]:
        """All readings, `READING_SCHEMA`; those of a device in the same frame."""
        if not self._files:
            yield pl.concat([READING_SCHEMA.to_frame(), *self._held])
            return
        self._write()
        for folder in sorted(self._folder.iterdir()):
            parts = [pl.read_ipc(path) for path in sorted(folder.iterdir())]
            yield pl.concat(parts).cast(READING_SCHEMA)

    def _write(self) -> None:
        if not self._rows:
            return
        rows = pl.concat(self._held).with_columns(pl.col(_TEXTS).cast(pl.String))
        self._held, self._rows = [], 0
        block = pl.struct("fleet", "device_id").hash() % BLOCKS
        for (number,), part in rows.group_by(block.alias("block")):
            folder = self._folder / f"{number:02}"
            folder.mkdir(exist_ok=True)
            part.select(READING_SCHEMA.names()).write_ipc(
                folder / f"{self._files:06}.arrow", compression="lz4"
            )
        self._files += 1
