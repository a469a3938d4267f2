"""The table `forecast_scores`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import PARAMETER

_MAE, _RMSE = pl.col("mae"), pl.col("rmse")
# Rounding may put equal errors the other way round.
_ROUNDING = 1 - 1e-9

FORECAST_SCORES = Table(
    name="forecast_scores",
    text=(
        "Forecasts against the valid readings that then came: one row a station, parameter, "
        "horizon, day of issue and mode with at least one such pair. A forecast without a value, "
        "or whose hour has no valid reading (yet), is not counted; a day is scored again with the"
        " readings as they are then."
    ),
    key=("network", "station_id", "parameter", "horizon", "date", "mode"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("horizon", pl.Int8(), "1 or 2, as in `forecasts`", unit="h"),
        Column(
            "date",
            pl.Date(),
            "UTC day of `issued_for`. Horizon 2 of 23:00 predicts the first hour of the next day",
        ),
        Column("mode", pl.Categorical(), "`live` or `hindcast`, as in `forecasts`"),
        Column("n", pl.Int32(), "Forecasts counted, at least 1"),
        Column(
            "mae",
            pl.Float64(),
            "Mean absolute error, in the unit of the parameter",
            unit="canonical unit",
        ),
        Column("rmse", pl.Float64(), "Root mean square error", unit="canonical unit"),
        Column(
            "bias",
            pl.Float64(),
            "Mean of forecast minus reading: positive where forecasts are too high",
            unit="canonical unit",
        ),
        Column(
            "mae_persistence",
            pl.Float64(),
            "Mean absolute error of persistence; null where no hour has it",
            unit="canonical unit",
        ),
        Column(
            "skill",
            pl.Float64(),
            (
                "1 - mae / mae_persistence, both over the hours that have persistence; null where"
                " that is none or its error is 0"
            ),
            unit="1",
        ),
        Column(
            "coverage_80",
            pl.Float64(),
            "Share of the readings within [lower_80, upper_80], 0..1",
            unit="1",
        ),
        Column(
            "coverage_95",
            pl.Float64(),
            "Share of the readings within [lower_95, upper_95], 0..1",
            unit="1",
        ),
    ),
    rules=(
        Rule(
            "consistent_errors",
            "n >= 1 and rmse >= mae >= |bias|; skill is at most 1.",
            ~(
                (pl.col("n") >= 1)
                & (_MAE >= 0)
                & (_RMSE >= _MAE * _ROUNDING)
                & (pl.col("bias").abs() * _ROUNDING <= _MAE)
            ).fill_null(value=False)
            | (pl.col("mae_persistence") < 0)
            | (pl.col("skill") > 1),
        ),
        Rule(
            "consistent_coverage",
            "0 <= coverage_80 <= coverage_95 <= 1.",
            ~(
                (pl.col("coverage_80") >= 0)
                & (pl.col("coverage_80") <= pl.col("coverage_95"))
                & (pl.col("coverage_95") <= 1)
            ).fill_null(value=False),
        ),
    ),
)
