"""The table `raw_pulls`: what the lines of its files say, and where each line is."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT

RAW_PULLS = Table(
    name="raw_pulls",
    text=(
        "One row an answer of the network as it came. A view over files of JSON lines in the "
        "object store, which are only added to."
    ),
    key=("network", "uri", "line"),
    columns=(
        Column("network", pl.String(), "Network"),
        Column("first_day", pl.Date(), "First UTC day of the folder that keeps the answer"),
        Column("last_day", pl.Date(), "Its last day; the first one but for a span of several"),
        Column(
            "pulled_at",
            INSTANT,
            "When the answer was received, which is its place in the order of all answers",
        ),
        Column(
            "received_at",
            INSTANT,
            "When it was received, where `pulled_at` is later because a clock had been ahead",
        ),
        Column("url", pl.String(), "What was asked, without secrets"),
        Column("params", pl.String(), "Query parameters as a JSON object, without secrets"),
        Column("window_start", INSTANT, "Start of the period asked for"),
        Column("window_end", INSTANT, "Its end, excluded"),
        Column("status", pl.Int32(), "HTTP status"),
        Column("body_bytes", pl.Int64(), "Length of `body`", unit="B"),
        Column("body", pl.String(), "The answer, verbatim"),
        Column("sha256", pl.String(), "SHA-256 of the line in hexadecimal, as `aq explain` has it"),
        Column("uri", pl.String(), "File that keeps the line"),
        Column("line", pl.Int64(), "Its number there, from 1"),
    ),
)
