"""Limits and guidelines for a day and a year, and how often a station was above them.

Levels are in the parameter's canonical unit (µg/m³, CO mg/m³). A day counts where it is valid; a
day is over where its value, as it is, is above the level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from aq_science.parameters import PARAMETERS
from aq_science.tables.exceedances import EXCEEDANCES

Metric = Literal["daily_mean", "max_8h_mean", "annual_mean"]


@dataclass(frozen=True)
class Limit:
    """One level.

    `days` is how many days of a year may be above it; None where it holds for the annual mean, or
    where the standard allows none.
    """

    standard: str
    parameter: str
    metric: Metric
    level: float
    days: int | None = None


# WHO global air quality guidelines 2021: 24-hour levels are 99th percentiles, three days a year.
# Directive 2008/50/EC, Annexes VII and XI. Directive (EU) 2024/2881, Annex I, from 2030 on.
WHO_2021, EU_2008, EU_2030 = "who_2021", "eu_2008", "eu_2030"
LIMITS = (
    Limit(WHO_2021, "pm25", "daily_mean", 15, 3),
    Limit(WHO_2021, "pm25", "annual_mean", 5),
    Limit(WHO_2021, "pm10", "daily_mean", 45, 3),
    Limit(WHO_2021, "pm10", "annual_mean", 15),
    Limit(WHO_2021, "no2", "daily_mean", 25, 3),
    Limit(WHO_2021, "no2", "annual_mean", 10),
    Limit(WHO_2021, "so2", "daily_mean", 40, 3),
    Limit(WHO_2021, "o3", "max_8h_mean", 100, 3),
    Limit(WHO_2021, "co", "daily_mean", 4, 3),
    Limit(EU_2008, "pm25", "annual_mean", 25),
    Limit(EU_2008, "pm10", "daily_mean", 50, 35),
    Limit(EU_2008, "pm10", "annual_mean", 40),
    Limit(EU_2008, "no2", "annual_mean", 40),
    Limit(EU_2008, "so2", "daily_mean", 125, 3),
    Limit(EU_2008, "o3", "max_8h_mean", 120, 25),
    Limit(EU_2008, "co", "max_8h_mean", 10),
    Limit(EU_2030, "pm25", "daily_mean", 25, 18),
    Limit(EU_2030, "pm25", "annual_mean", 10),
    Limit(EU_2030, "pm10", "daily_mean", 45, 18),
    Limit(EU_2030, "pm10", "annual_mean", 20),
    Limit(EU_2030, "no2", "daily_mean", 50, 18),
    Limit(EU_2030, "no2", "annual_mean", 20),
    Limit(EU_2030, "so2", "daily_mean", 50, 18),
    Limit(EU_2030, "so2", "annual_mean", 20),
    Limit(EU_2030, "o3", "max_8h_mean", 120, 18),
    Limit(EU_2030, "co", "daily_mean", 4, 18),
    Limit(EU_2030, "co", "max_8h_mean", 10),
)

# Share of a year's days that have to be valid for an annual mean to be compared (2008/50/EC,
# Annexes I and XI).
DATA_CAPTURE = 0.9

_SERIES_YEAR = ("network", "station_id", "parameter", "year")


def exceedances(daily: pl.DataFrame) -> pl.DataFrame:
    """How each station's years compare with every limit of its parameters.

    Args:
        daily: `DAILY_AVERAGES` (network, station_id, parameter, date, mean, max_8h_mean, valid), of
            whole years; a year in progress is judged by the days there are.

    Returns:
        `EXCEEDANCES` rows, sorted by their key; none for parameters without a limit. `exceeded` of
        an annual mean is null below `DATA_CAPTURE`.
    """
    days = daily.with_columns(year=pl.col("date").dt.year())
    valid = days.filter("valid")
    years = days.select(_SERIES_YEAR).unique()
    frames = [EXCEEDANCES.schema.to_frame()]
    for limit in LIMITS:
        own = pl.col("parameter") == limit.parameter
        value = pl.col("max_8h_mean" if limit.metric == "max_8h_mean" else "mean")
        counted = (
            valid.filter(own, value.is_not_null())
            .group_by(_SERIES_YEAR)
            .agg(days_valid=pl.len(), over=(value > limit.level).sum(), annual_mean=value.mean())
        )
        frames.append(_compared(years.filter(own).join(counted, _SERIES_YEAR, how="left"), limit))
    return pl.concat(frames).sort(EXCEEDANCES.key)


def _compared(years: pl.DataFrame, limit: Limit) -> pl.DataFrame:
    annual = limit.metric == "annual_mean"
    length = pl.lit(365) + pl.date(pl.col("year"), 1, 1).dt.is_leap_year().cast(pl.Int32)
    days_valid = pl.col("days_valid").fill_null(0)
    capture = days_valid / length
    exceeded: pl.Expr
    if annual:
        exceeded = pl.when(capture >= DATA_CAPTURE).then(pl.col("annual_mean") > limit.level)
    else:
        exceeded = pl.col("over").fill_null(0) > (limit.days or 0)
    return years.select(
        "network",
        "station_id",
        "parameter",
        "year",
        standard=pl.lit(limit.standard),
        metric=pl.lit(limit.metric),
        level=pl.lit(float(limit.level)),
        unit=pl.lit(PARAMETERS[limit.parameter].unit),
        days_valid=days_valid,
        data_capture=capture,
        days_over=None if annual else pl.col("over").fill_null(0),
        days_allowed=pl.lit(None if annual else limit.days or 0),
        annual_mean=pl.col("annual_mean") if annual else None,
        exceeded=exceeded,
    ).cast(EXCEEDANCES.schema)
