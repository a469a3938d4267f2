"""The table `parameters`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table

NETWORK_PARAMETERS = Table(
    name="parameters",
    text="One row a parameter of the network, in each of its units. OpenAQ alone lists them.",
    key=("network", "parameter_id"),
    columns=(
        Column("network", pl.String(), "Network that lists the parameter"),
        Column(
            "parameter_id",
            pl.Int64(),
            "The network's number for it; the same pollutant has one for each unit",
        ),
        Column("name", pl.String(), "The network's name"),
        Column("unit", pl.String(), "Unit as the network reports it"),
        Column("display_name", pl.String(), "Name for people"),
        Column("description", pl.String(), "What it is"),
        Column(
            "parameter",
            pl.String(),
            "Canonical parameter; null for what this platform does not take in",
        ),
    ),
)
