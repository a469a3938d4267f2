"""Forecasts as they are served: unit, index category, and whether they were made in time."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from aq_science.forecasting.probability import probability_above
from aq_science.indices.by_parameter import by_parameter
from aq_science.indices.us_epa import CATEGORY, aqi, aqi_category, aqi_concentration
from aq_science.indices.who_2021 import WHO_2021_DAILY
from aq_science.parameters import PARAMETERS
from aq_science.tables.types import PARAMETER, UNIT
from aq_science.units import EU_REFERENCE_C

FORECAST_PARAMETERS = ("pm25", "co")

# A forecast made after its first hour is over tells nothing that a reading would not.
LIVE_WITHIN = timedelta(hours=1)


def forecast_mode(issued_for: datetime, issued_at: datetime) -> str:
    """`live` where the forecast was computed within the hour after its issue time."""
    return "live" if issued_for <= issued_at < issued_for + LIVE_WITHIN else "hindcast"


def forecast_series(readings: pl.DataFrame) -> pl.DataFrame:
    """The (station_id, parameter) pairs to forecast: those with any present reading.

    A pair whose every reading is flagged still gets its row, by a named fallback.
    """
    return (
        readings.filter(pl.col("parameter").is_in(FORECAST_PARAMETERS))
        .select(pl.col("station_id").cast(pl.String), pl.col("parameter").cast(pl.String))
        .unique()
        .sort("station_id", "parameter")
    )


def forecast_rows(
    forecasts: pl.DataFrame,
    network: str,
    issued_at: datetime,
    reference_c: float = EU_REFERENCE_C,
) -> pl.DataFrame:
    """Rows of the `forecasts` table.

    Args:
        forecasts: The result of `forecast_many`.
        network: Whose.
        issued_at: When they were computed, UTC: within the hour after the issue time is live.
        reference_c: Temperature (°C) at which gases are converted, for the category.

    Returns:
        `FORECASTS` rows; the category is the one that the predicted concentration would have as a
        mean.
    """
    value = pl.col("value")
    category = by_parameter(
        pl.col("parameter"),
        {
            name: aqi_category(aqi(name, aqi_concentration(name, value, reference_c)))
            for name in FORECAST_PARAMETERS
        },
        pl.lit(None, CATEGORY),
    )
    guideline = by_parameter(
        pl.col("parameter"),
        {name: pl.lit(WHO_2021_DAILY[name]) for name in FORECAST_PARAMETERS},
        pl.lit(None, pl.Float64),
    )
    units = {name: p.unit for name, p in PARAMETERS.items()}
    in_time = pl.lit(issued_at, pl.Datetime("us", "UTC")).is_between(
        pl.col("issued_for"), pl.col("issued_for") + LIVE_WITHIN, closed="left"
    )
    return forecasts.with_columns(pl.col("parameter").cast(PARAMETER)).select(
        pl.lit(network, pl.Categorical()).alias("network"),
        pl.col("station_id").cast(pl.Categorical()),
        "parameter",
        "issued_for",
        "horizon",
        "hour",
        "value",
        "lower_80",
        "upper_80",
        "lower_95",
        "upper_95",
        pl.col("parameter").replace_strict(units, return_dtype=UNIT).alias("unit"),
        pl.col("model").cast(pl.Categorical()),
        "model_day",
        pl.when(in_time)
        .then(pl.lit("live"))
        .otherwise(pl.lit("hindcast"))
        .cast(pl.Categorical())
        .alias("mode"),
        pl.lit(issued_at, pl.Datetime("us", "UTC")).alias("issued_at"),
        category.alias("aqi_category"),
        probability_above(guideline).alias("who_2021_probability"),
    )
