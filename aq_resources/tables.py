"""The tables and files that readers outside rely on: columns, types, keys and what they mean.

One source for the warehouse's schemas, the column schema shown in the UI and the data dictionary.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from polars._typing import PolarsDataType

from aq_science.averages import DAILY_SCHEMA
from aq_science.forecast_common import MODEL_SCHEMA
from aq_science.forecast_scores import SCORES_SCHEMA
from aq_science.indices import CATEGORY
from aq_science.readings import HOURLY_SCHEMA, INSTANT, PARAMETER, UNIT


@dataclass(frozen=True)
class Table:
    """A declared table.

    ``window`` is the column that says which partition a row belongs to (None: replaced whole).
    ``protected`` is a condition on rows that only rows meeting it themselves may replace.
    """

    schema: pl.Schema
    key: tuple[str, ...]
    columns: dict[str, str]
    window: str | None = None
    protected: str | None = None

    def __post_init__(self) -> None:
        if list(self.columns) != self.schema.names():
            raise ValueError("every column needs its description, in order")


STATIONS = Table(
    pl.Schema(
        {
            "network": pl.String(),
            "station_id": pl.String(),
            "name": pl.String(),
            "latitude": pl.Float64(),
            "longitude": pl.Float64(),
            "country": pl.String(),
            "city": pl.String(),
            "timezone": pl.String(),
            "parameters": pl.List(pl.String()),
            "first_seen": INSTANT,
            "last_seen": INSTANT,
            "attribution": pl.String(),
            "coordinates_source": pl.String(),
        }
    ),
    ("network", "station_id"),
    {
        "network": "Network the station belongs to",
        "station_id": "Identifier within the network",
        "name": "Name for people",
        "latitude": "Degrees north, WGS 84; null where unknown or wrong",
        "longitude": "Degrees east, WGS 84; null together with `latitude`",
        "country": "ISO 3166-1 alpha-2 code",
        "city": "City",
        "timezone": "IANA time zone whose days the daily averages follow",
        "parameters": "Parameters the station reports",
        "first_seen": "When the network first described the station to this platform",
        "last_seen": "When the network last described it",
        "attribution": "Whom to credit in any publication",
        "coordinates_source": "`upstream`, or `override` from networks.yaml",
    },
)

RAW_PULLS = Table(
    pl.Schema(
        {
            "url": pl.String(),
            "params": pl.String(),
            "window": pl.List(INSTANT),
            "pulled_at": INSTANT,
            "status": pl.Int32(),
            "body": pl.String(),
        }
    ),
    ("url", "params", "window", "pulled_at"),
    {
        "url": "What was asked, without secrets",
        "params": "Query parameters as a JSON object, without secrets",
        "window": "Start and end (excluded) of the period asked for, UTC",
        "pulled_at": "When the answer was received",
        "status": "HTTP status",
        "body": "The answer, verbatim",
    },
)

HOURLY_READINGS = Table(
    HOURLY_SCHEMA,
    ("network", "station_id", "parameter", "hour"),
    {
        "network": "Network",
        "station_id": "Station within the network",
        "parameter": "Canonical parameter (pm25, co, …)",
        "hour": "UTC start of the hour; the value covers [hour, hour + 1 h)",
        "value": "Mean of the hour in `unit`; null where it cannot be converted",
        "unit": "Canonical unit of the parameter",
        "value_native": "Value as the network reported it",
        "unit_native": "Unit as the network reported it",
        "coverage": "Share of the hour that was measured, 0..1; null if unknown",
        "flag": "`valid`, `suspect`, `invalid` or `missing`",
        "reasons": "Names of the quality tests that fired",
        "sensor_id": "Sensor within the station, where the network tells",
        "pulled_at": "When this value was first received",
        "revision": "0 for the first value seen; +1 each time upstream changed it",
    },
    window="hour",
)

DAILY_AVERAGES = Table(
    DAILY_SCHEMA,
    ("network", "station_id", "parameter", "date"),
    {
        "network": "Network",
        "station_id": "Station within the network",
        "parameter": "Canonical parameter",
        "date": "Local date of the station",
        "timezone": "IANA time zone of that date",
        "mean": "Mean of the hours flagged valid",
        "minimum": "Lowest hour flagged valid",
        "maximum": "Highest hour flagged valid",
        "hours_valid": "Hours flagged valid",
        "hours_present": "Hours with a value, whatever its flag",
        "hours_expected": "Hours of the local day: 23, 24 or 25",
        "completeness": "hours_valid / hours_expected",
        "valid": "Whether the day meets `rule`",
        "rule": "Named rule behind `valid` and the day (civil or standard time)",
        "mean_all_hours": "Mean of every present hour, whatever its flag",
        "max_8h_mean": "Highest running 8-hour mean ending on the day (CO, O3); 2008/50/EC",
        "aqi": "US EPA index of 2024 from the mean (PM2.5) or max_8h_mean (CO)",
        "aqi_category": "Category of the index",
        "who_2021_exceeded": "Whether the WHO 2021 24-hour guideline level is exceeded",
        "unit": "Canonical unit",
    },
    window="date",
)

FORECASTS = Table(
    pl.Schema(
        {
            "network": pl.Categorical(),
            "station_id": pl.Categorical(),
            "parameter": PARAMETER,
            "issued_for": INSTANT,
            "horizon": pl.Int8(),
            "hour": INSTANT,
            "value": pl.Float64(),
            "lower_80": pl.Float64(),
            "upper_80": pl.Float64(),
            "lower_95": pl.Float64(),
            "upper_95": pl.Float64(),
            "unit": UNIT,
            "model": pl.Categorical(),
            "model_day": pl.Date(),
            "mode": pl.Categorical(),
            "issued_at": INSTANT,
            "aqi_category": CATEGORY,
        }
    ),
    ("network", "station_id", "parameter", "issued_for", "horizon"),
    {
        "network": "Network",
        "station_id": "Station within the network",
        "parameter": "Canonical parameter",
        "issued_for": "Issue time H: only readings whose hour ended by H were used",
        "horizon": "1 for the hour that begins at H, 2 for the one after it",
        "hour": "UTC start of the predicted hour",
        "value": "Predicted mean of the hour",
        "lower_80": "Lower end of the 80 % interval",
        "upper_80": "Upper end of the 80 % interval",
        "lower_95": "Lower end of the 95 % interval",
        "upper_95": "Upper end of the 95 % interval",
        "unit": "Canonical unit",
        "model": "Method that was served, fallbacks included",
        "model_day": "Day the model was fitted for; null where none was used",
        "mode": "`live`, or `hindcast` where it was computed after the fact",
        "issued_at": "When it was computed",
        "aqi_category": "US EPA category of the predicted concentration",
    },
    window="issued_for",
    protected="mode = 'live'",
)

FORECAST_SCORES = Table(
    SCORES_SCHEMA,
    ("network", "station_id", "parameter", "horizon", "date", "mode"),
    {
        "network": "Network",
        "station_id": "Station within the network",
        "parameter": "Canonical parameter",
        "horizon": "1 or 2, as in `forecasts`",
        "date": "UTC day on which the forecasts were issued (`issued_for`)",
        "mode": "`live` or `hindcast`, as in `forecasts`",
        "n": "Forecasts with a value whose hour has a valid reading; at least 1",
        "mae": "Mean absolute error",
        "rmse": "Root mean square error",
        "bias": "Mean of forecast minus reading",
        "mae_persistence": "Mean absolute error of the last valid reading, where it is recent",
        "skill": "1 - mae / mae_persistence over the hours that have both; null if undefined",
        "coverage_80": "Share of the readings within the 80 % interval, 0..1",
        "coverage_95": "Share of the readings within the 95 % interval, 0..1",
    },
    window="date",
)

FORECAST_MODELS_SCHEMA = MODEL_SCHEMA

COUNTRIES = Table(
    pl.Schema(
        {
            "network": pl.String(),
            "country_id": pl.Int64(),
            "code": pl.String(),
            "name": pl.String(),
            "first_reading": INSTANT,
            "last_reading": INSTANT,
            "parameters": pl.List(pl.String()),
        }
    ),
    ("network", "country_id"),
    {
        "network": "Network that lists the country",
        "country_id": "The network's number for it",
        "code": "ISO 3166-1 alpha-2 code",
        "name": "Name",
        "first_reading": "First reading that the network has from there",
        "last_reading": "Last reading that the network has from there",
        "parameters": "Canonical parameters measured there",
    },
)

NETWORK_PARAMETERS = Table(
    pl.Schema(
        {
            "network": pl.String(),
            "parameter_id": pl.Int64(),
            "name": pl.String(),
            "unit": pl.String(),
            "display_name": pl.String(),
            "description": pl.String(),
            "parameter": pl.String(),
        }
    ),
    ("network", "parameter_id"),
    {
        "network": "Network that lists the parameter",
        "parameter_id": "The network's number for it; the same pollutant has one for each unit",
        "name": "The network's name",
        "unit": "Unit as the network reports it",
        "display_name": "Name for people",
        "description": "What it is",
        "parameter": "Canonical parameter; null for what this platform does not take in",
    },
)

WAREHOUSE_TABLES = {
    "stations": STATIONS,
    "countries": COUNTRIES,
    "parameters": NETWORK_PARAMETERS,
    "daily_averages": DAILY_AVERAGES,
    "forecasts": FORECASTS,
    "forecast_scores": FORECAST_SCORES,
}

_SQL_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "VARCHAR",
    pl.Categorical: "VARCHAR",
    pl.Enum: "VARCHAR",
    pl.Float64: "DOUBLE",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
}


def sql_type(dtype: pl.DataType) -> str:
    """DuckDB's type for a declared column; text whatever its encoding in memory."""
    if isinstance(dtype, pl.List):
        return f"{sql_type(_instance(dtype.inner))}[]"
    if isinstance(dtype, pl.Struct):
        fields = ", ".join(f"{f.name} {sql_type(_instance(f.dtype))}" for f in dtype.fields)
        return f"STRUCT({fields})"
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMPTZ"
    return _SQL_TYPES[type(dtype)]


def _instance(dtype: PolarsDataType) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype
