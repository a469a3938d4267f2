"""The table `countries`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT

COUNTRIES = Table(
    name="countries",
    text="One row a country that the network has readings from. OpenAQ alone lists them.",
    key=("network", "country_id"),
    columns=(
        Column("network", pl.String(), "Network that lists the country"),
        Column("country_id", pl.Int64(), "The network's number for it"),
        Column("code", pl.String(), "ISO 3166-1 alpha-2 code"),
        Column("name", pl.String(), "Name"),
        Column("first_reading", INSTANT, "First reading that the network has from there"),
        Column("last_reading", INSTANT, "Last reading that the network has from there"),
        Column("parameters", pl.List(pl.String()), "Canonical parameters measured there"),
    ),
)
