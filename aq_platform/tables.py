"""Frames as tables for the terminal: every value is text, whatever it holds."""

from __future__ import annotations

import polars as pl
from rich.table import Table
from rich.text import Text

from aq_platform.console import legible


def rich_table(frame: pl.DataFrame, title: str | None = None) -> Table:
    """A frame as a table for the terminal."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name, dtype in frame.schema.items():
        table.add_column(
            _text(name), justify="right" if dtype.is_numeric() else "left", overflow="fold"
        )
    for row in frame.iter_rows():
        table.add_row(*("" if value is None else _cell(value) for value in row))
    return table


def _cell(value: object) -> Text:
    return _text(f"{value:.6g}" if isinstance(value, float) else str(value))


def _text(text: str) -> Text:
    return Text(legible(text))
