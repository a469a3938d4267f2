"""What every table of scores has: its columns behind the key, and the rules of its rows."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule
from aq_science.tables.types import PARAMETER

_MAE, _RMSE = pl.col("mae"), pl.col("rmse")
# Rounding may put equal errors the other way round.
_ROUNDING = 1 - 1e-9
_UNIT = "canonical unit"
_LATER = "null where scored by an earlier version"

SERIES = (
    Column("network", pl.Categorical(), "Network"),
    Column("station_id", pl.Categorical(), "Station within the network"),
    Column("parameter", PARAMETER, "Canonical parameter"),
    Column("horizon", pl.Int8(), "1 or 2, as in `forecasts`", unit="h"),
)
DATE = Column(
    "date",
    pl.Date(),
    "UTC day of `issued_for`. Horizon 2 of 23:00 predicts the first hour of the next day",
)
MODEL = Column("model", pl.Categorical(), "Method that was served, as in `forecasts`")
MODE = Column("mode", pl.Categorical(), "`live` or `hindcast`, as in `forecasts`")

SCORES = (
    Column("n", pl.Int32(), "Forecasts counted, at least 1"),
    Column("mae", pl.Float64(), "Mean absolute error, in the unit of the parameter", unit=_UNIT),
    Column("rmse", pl.Float64(), "Root mean square error", unit=_UNIT),
    Column(
        "bias",
        pl.Float64(),
        "Mean of forecast minus reading: positive where forecasts are too high",
        unit=_UNIT,
    ),
    Column(
        "mae_persistence",
        pl.Float64(),
        "Mean absolute error of persistence; null where no hour has it",
        unit=_UNIT,
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
    Column(
        "interval_score_80",
        pl.Float64(),
        (
            "Mean interval score of the 80 % interval: its width, and 10 times the distance of a "
            f"reading outside it; lower is better; {_LATER}"
        ),
        unit=_UNIT,
    ),
    Column(
        "interval_score_95",
        pl.Float64(),
        f"The same of the 95 % interval, with 40 times the distance; {_LATER}",
        unit=_UNIT,
    ),
    Column(
        "pinball",
        pl.Float64(),
        (
            "Mean pinball loss of the quantiles 0.025, 0.1, 0.5 (`value`), 0.9 and 0.975; lower "
            f"is better; {_LATER}"
        ),
        unit=_UNIT,
    ),
    Column(
        "n_persistence",
        pl.Int32(),
        f"Of the forecasts counted, those whose hour has persistence; {_LATER}",
    ),
)

SCORE_RULES = (
    Rule(
        "consistent_errors",
        "n >= 1 and rmse >= mae >= |bias|; skill is at most 1; n >= n_persistence.",
        ~(
            (pl.col("n") >= 1)
            & (_MAE >= 0)
            & (_RMSE >= _MAE * _ROUNDING)
            & (pl.col("bias").abs() * _ROUNDING <= _MAE)
        ).fill_null(value=False)
        | (pl.col("mae_persistence") < 0)
        | (pl.col("skill") > 1)
        | ~pl.col("n_persistence").is_between(0, pl.col("n")),
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
    Rule(
        "consistent_losses",
        "Interval scores are not negative; pinball is at least a tenth of mae, its median's part.",
        (pl.col("interval_score_80") < 0)
        | (pl.col("interval_score_95") < 0)
        | (pl.col("pinball") < _MAE / 10 * _ROUNDING),
    ),
)
