"""The table `hourly_readings`."""

from __future__ import annotations

import polars as pl

from aq_science.parameters import PARAMETERS
from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import FLAG, INSTANT, PARAMETER, SERIES, STATUS, UNIT

_PARAMETER, _VALUE, _HOUR = pl.col("parameter"), pl.col("value"), pl.col("hour")
_LOWEST = {name: float(p.fail[0]) for name, p in PARAMETERS.items()}
_HIGHEST = {name: float(p.fail[1]) for name, p in PARAMETERS.items()}
_UNITS = {name: p.unit for name, p in PARAMETERS.items()}
# Hours begin on the quarter: those of stations in zones of half and quarter hours.
_QUARTER_SECONDS = 900
# The key as one integer, since a struct takes five times as long.
_KEY = SERIES * (1 << 24) + _HOUR.dt.epoch("s") // _QUARTER_SECONDS

HOURLY_READINGS = Table(
    name="hourly_readings",
    text=(
        "One row a station, parameter and hour that any pull reported. A view over Parquet files "
        "in the object store, one a UTC day."
    ),
    key=("network", "station_id", "parameter", "hour"),
    window="hour",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column(
            "hour",
            INSTANT,
            (
                "Start of the hour, UTC; the value covers [hour, hour + 1 h). At :15, :30 or :45 "
                "where that is a full hour of the station's zone"
            ),
        ),
        Column(
            "value",
            pl.Float64(),
            "Mean of the hour in `unit`; null where it cannot be converted",
            unit="unit",
        ),
        Column("unit", UNIT, "Canonical unit of the parameter"),
        Column(
            "value_native", pl.Float64(), "Value as the network reported it", unit="unit_native"
        ),
        Column("unit_native", pl.Categorical(), "Unit as the network reported it"),
        Column(
            "coverage",
            pl.Float64(),
            "Share of the hour that was measured, 0..1; null if unknown",
            unit="1",
        ),
        Column("flag", FLAG, "`valid`, `suspect`, `invalid` or `missing`"),
        Column("reasons", pl.List(pl.String()), "Names of the quality tests that fired"),
        Column(
            "status",
            STATUS,
            (
                "What the provider calls the value: `preliminary`, `validated` or `withdrawn` "
                "(taken back: no value any more); null where it says nothing"
            ),
        ),
        Column("sensor_id", pl.Categorical(), "Sensor within the station, where the network tells"),
        Column("pulled_at", INSTANT, "When this value was first received"),
        Column(
            "revision", pl.Int32(), "0 for the first value seen; +1 each time upstream changed it"
        ),
    ),
    rules=(
        Rule(
            "unique_hours",
            "One row a station, parameter and hour, on the hour or a quarter of it.",
            _KEY.is_duplicated() | (_HOUR.dt.epoch("us") % (_QUARTER_SECONDS * 1_000_000) != 0),
            blocking=True,
        ),
        Rule(
            "plausible_ranges",
            "No value flagged valid lies outside the physical range.",
            (pl.col("flag") == "valid")
            & (
                _VALUE.is_null()
                | (_PARAMETER.replace_strict(_LOWEST, return_dtype=pl.Float64) > _VALUE)
                | (_PARAMETER.replace_strict(_HIGHEST, return_dtype=pl.Float64) < _VALUE)
            ),
            blocking=True,
        ),
        Rule(
            "canonical_unit",
            "Every row carries its parameter's canonical unit.",
            pl.col("unit").cast(pl.String)
            != _PARAMETER.replace_strict(_UNITS, return_dtype=pl.String),
            blocking=True,
        ),
    ),
)
