"""The table `refused_readings`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT

REFUSED_READINGS = Table(
    name="refused_readings",
    text=(
        "Messages of devices that were not taken, with the reason that their sender was given, "
        "one row a message."
    ),
    key=("network", "received_at", "key_id", "index"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("date", pl.Date(), "UTC day on which it came"),
        Column("received_at", INSTANT, "When it came"),
        Column("fleet", pl.Categorical(), "Fleet whose key sent it"),
        Column("key_id", pl.Categorical(), "Id of that key"),
        Column("index", pl.Int64(), "Its number in the request, from 0"),
        Column("field", pl.String(), "What is wrong: a field, `message` or `body`"),
        Column("reason", pl.String(), "Why it was refused"),
        Column("raw", pl.String(), "Beginning of the message as it came"),
    ),
)
