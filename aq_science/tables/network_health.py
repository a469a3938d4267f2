"""What the API gives of the networks' health: how they are now, and day by day."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.gaps import CAUSES
from aq_science.tables.types import INSTANT

CURRENT, SILENT, EMPTY = NETWORK_STATES = ("current", "silent", "empty")

_HOURS = (
    ("expected", "Hours of the day, of all stations and parameters"),
    ("valid", "Hours flagged `valid`"),
    ("flagged", "Hours with a value that the quality tests rejected"),
    ("missing", "Hours without a value"),
    ("revised", "Hours that the network changed later (`data_quality`); null where none is known"),
)

NETWORKS = Table(
    name="networks",
    text="One row a network that is taken in: how new its readings are, how many stations send.",
    key=("network",),
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column(
            "state",
            pl.Enum(NETWORK_STATES),
            (
                "`current`; `silent` where the newest hour ended longer ago than "
                "`silent_after_hours`; `empty` without any for three days"
            ),
        ),
        Column("newest_hour", INSTANT, "Newest hour with a value; null without one for three days"),
        Column("newest_pulled_at", INSTANT, "When the last value of these days came"),
        Column("silent_after_hours", pl.Int32(), "As networks.yaml has it", unit="h"),
        Column("stations", pl.Int32(), "Stations that the network describes"),
        Column("stations_reporting", pl.Int32(), "Of these with a value in the last 24 hours"),
        Column("stations_valid", pl.Int32(), "Of these with a valid one"),
    ),
)

NETWORK_DAYS = Table(
    name="network_days",
    text=(
        "One row a network and day, hours of all its stations and parameters: those of "
        "`daily_averages` by the stations' local day, causes and revisions by the UTC day."
    ),
    key=("network", "date"),
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("date", pl.Date(), "Day"),
        Column("stations", pl.Int32(), "Stations with a row of the day"),
        Column("stations_silent", pl.Int32(), "Of these without any value on the day"),
        *(Column(f"hours_{name}", pl.Int32(), text, unit="h") for name, text in _HOURS),
        *(
            Column(f"gap_{cause}", pl.Int32(), f"Hours in `gaps` as `{cause}`", unit="h")
            for cause in CAUSES
        ),
    ),
)
