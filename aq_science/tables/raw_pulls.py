"""The lines of `raw_pulls`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT

RAW_PULLS = Table(
    name="raw_pulls",
    text="Every answer of the network as it came: one JSON line an answer, append-only.",
    key=("url", "params", "window", "pulled_at"),
    columns=(
        Column("url", pl.String(), "What was asked, without secrets"),
        Column("params", pl.String(), "Query parameters as a JSON object, without secrets"),
        Column("window", pl.List(INSTANT), "Start and end (excluded) of the period asked for, UTC"),
        Column("pulled_at", INSTANT, "When the answer was received"),
        Column("status", pl.Int32(), "HTTP status"),
        Column("body", pl.String(), "The answer, verbatim"),
    ),
)
