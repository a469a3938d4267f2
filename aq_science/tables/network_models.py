"""The daily files of `network_models`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT

NETWORK_MODELS = Table(
    name="network_models",
    text=(
        "Not a table: one Parquet file a day in the object store, "
        "`<network>/network_models/date=YYYY-MM-DD/models.parquet`, one row a model of a whole "
        "network: a method, parameter and lag. There are two of each, the one that serves from "
        "`day` on and one of a week before, by which it is judged on the week since."
    ),
    key=("parameter", "lag", "method", "trained_to", "day"),
    window="day",
    columns=(
        Column("parameter", pl.String(), "Canonical parameter"),
        Column("lag", pl.Int16(), "Hours from the last reading to the predicted one", unit="h"),
        Column("method", pl.String(), "As it stands in `model` of the forecasts"),
        Column("day", pl.Date(), "The day from which the newer one serves"),
        Column("trained_to", pl.Date(), "Fitted on hours that ended by this day's midnight UTC"),
        Column("trained_from", INSTANT, "Start of the first hour that was looked at"),
        Column("n_stations", pl.Int32(), "Stations with a reading of the parameter"),
        Column("n_readings", pl.Int64(), "Their valid readings"),
        Column("reason", pl.String(), "Why nothing was learned; null where something was"),
        Column(
            "learned",
            pl.String(),
            "JSON in the method's own terms, trees as LightGBM's text; null where nothing was",
        ),
    ),
)
