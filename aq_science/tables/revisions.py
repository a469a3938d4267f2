"""The table `revisions`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import INSTANT, PARAMETER, STATUS, UNIT

_HOUR = ("station_id", "parameter", "hour")
_REVISION, _CHANGED_AT = pl.col("revision"), pl.col("changed_at")
_BEFORE, _AFTER = pl.col("value_before"), pl.col("value_after")

REVISIONS = Table(
    name="revisions",
    text=(
        "One row a change of an hour that was already known: its network gave another value, "
        "another sensor, coverage, unit or status of it, or took it back. As many rows an hour as "
        "its `revision` in `hourly_readings` says, once the day was compared."
    ),
    key=("network", "station_id", "parameter", "hour", "revision"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("date", pl.Date(), "UTC day of the hour"),
        Column("hour", INSTANT, "Start of the hour, as in `hourly_readings`"),
        Column("revision", pl.Int32(), "1 for the first change of the hour, 2 for the next, ..."),
        Column("known_since", INSTANT, "When the former content was first received"),
        Column("changed_at", INSTANT, "When the new one was first received"),
        Column(
            "value_before",
            pl.Float64(),
            "Former value; null where it was taken back or cannot be converted",
            unit="unit",
        ),
        Column(
            "value_after",
            pl.Float64(),
            "New value; null where it was taken back or cannot be converted",
            unit="unit",
        ),
        Column(
            "change",
            pl.Float64(),
            "`value_after - value_before`; 0 where something else changed, null without both",
            unit="unit",
        ),
        Column("unit", UNIT, "Canonical unit of the parameter"),
        Column(
            "status_after",
            STATUS,
            "What the provider now calls the value, as `status` in `hourly_readings`",
        ),
        Column("sensor_before", pl.Categorical(), "Sensor of the former value"),
        Column("sensor_after", pl.Categorical(), "Sensor of the new one"),
    ),
    rules=(
        Rule(
            "numbered_in_order",
            "The changes of an hour are 1, 2, ..., each received after the one before.",
            (_REVISION.rank("ordinal").over(_HOUR) != _REVISION)
            # Of several in the same instant each may be any of them.
            | (_CHANGED_AT.rank("min").over(_HOUR) > _REVISION)
            | (_CHANGED_AT.rank("max").over(_HOUR) < _REVISION)
            | (pl.col("known_since") > _CHANGED_AT)
            | (pl.col("hour").dt.date() != pl.col("date")),
        ),
        Rule(
            "change_adds_up",
            "`change` is the new value less the former one.",
            pl.col("change").ne_missing(_AFTER - _BEFORE),
        ),
        Rule(
            "withdrawn_has_no_value",
            "Where a value was taken back there is none after it.",
            (pl.col("status_after") == "withdrawn") & _AFTER.is_not_null(),
        ),
    ),
)
