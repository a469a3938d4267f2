"""Scores of forecasts against the readings that then came.

A forecast belongs to the UTC day on which it was issued (`issued_for`), so that one day's scores
are those of its 24 issue times; the hour predicted at 23:00 for horizon 2 lies on the next day.

*Persistence* is the one that is served: the last valid reading whose hour had ended by the issue
time, at most as many hours before the predicted hour as `methods.persistence` reaches. It is taken
from the readings as they are now: one that arrived after the issue counts for it, and not for the
forecast.

Scores of days are pooled to those of a month or a network without their forecasts. All sums are
added up in the order of the rows, so that they are the same to the last bit in every run: an engine
that adds in the order in which its threads end would change last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from aq_science.forecasting.grid import Floats
from aq_science.forecasting.methods import BASELINE
from aq_science.forecasting.schema import HORIZONS
from aq_science.tables.core import Table
from aq_science.tables.forecast_report import FORECAST_REPORT
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.scores import SCORES
from aq_science.windows import HOUR

# Readings this far around a period's issue times are all that its scores need.
REACH_BEFORE = max(BASELINE.lags) * HOUR
REACH_AFTER = (max(HORIZONS) - 1) * HOUR

_SERIES = ("network", "station_id", "parameter")
_COVERAGES = (80, 95)
_MEASURES = [column.name for column in SCORES]

# The sum of each run of rows.
_Total = Callable[[npt.NDArray[np.generic]], Floats]


def forecast_scores(
    forecasts: pl.DataFrame, readings: pl.DataFrame, table: Table = FORECAST_SCORES
) -> pl.DataFrame:
    """Scores of the forecasts of whole UTC days.

    Args:
        forecasts: Rows of the table of that name, of whole UTC days of `issued_for`.
        readings: `HOURLY_READINGS` (network, station_id, parameter, hour, value, flag) from
            `REACH_BEFORE` ahead of the first issue time to `REACH_AFTER` behind the last day.
        table: `FORECAST_SCORES`, or the same by model, whose key says what is scored together.

    Returns:
        Its rows, sorted by their key. Only a forecast with a value and a valid reading of its hour
        is counted. `skill` compares the two errors over the hours that persistence has a value
        for, and is null where its error is zero.
    """
    actual = readings.filter((pl.col("flag") == "valid") & pl.col("value").is_finite()).select(
        *_SERIES, "hour", actual="value"
    )
    known = actual.select(
        *_SERIES, ended=pl.col("hour") + HOUR, last_hour="hour", persistence="actual"
    ).sort("ended")
    pairs = (
        forecasts.filter(pl.col("value").is_finite())
        .with_columns(date=pl.col("issued_for").dt.date())
        .join(actual, on=[*_SERIES, "hour"])
        .sort("issued_for")
        .join_asof(
            known,
            left_on="issued_for",
            right_on="ended",
            by=list(_SERIES),
            strategy="backward",
            check_sortedness=False,  # sorted just above; polars cannot check it within groups
        )
        .with_columns(
            pl.when(pl.col("hour") - pl.col("last_hour") <= REACH_BEFORE).then("persistence")
        )
        .sort(*table.key, "issued_for")
    )
    if pairs.is_empty():
        return table.schema.to_frame()
    firsts, total = _runs(pairs, table.key)
    return _rows(firsts, table.key, _scored(pairs, total)).cast(table.schema)


def _runs(rows: pl.DataFrame, by: Sequence[str]) -> tuple[pl.DataFrame, _Total]:
    """The first row of each run of rows with the same `by`, and what sums over each run."""
    run = rows.select(pl.struct(by).rle_id().alias("run"))["run"].to_numpy()
    starts = np.unique(run, return_index=True)[1]

    def total(values: npt.NDArray[np.generic]) -> Floats:
        sums: Floats = np.add.reduceat(values, starts, dtype=np.float64)
        return sums

    return rows[starts], total


def _rows(firsts: pl.DataFrame, by: Sequence[str], scores: dict[str, Floats]) -> pl.DataFrame:
    """The columns of `by`, then `scores` in the order of the tables, null where not a number."""
    columns = [pl.Series(name, scores[name], nan_to_null=True) for name in _MEASURES]
    types = pl.Schema({column.name: column.dtype for column in SCORES})
    return firsts.select(by).with_columns(columns).cast(types)


def _scored(pairs: pl.DataFrame, total: _Total) -> dict[str, Floats]:
    """The scores of each run of forecasts with the readings that came."""
    actual, value, persistence = (
        pairs[name].to_numpy() for name in ("actual", "value", "persistence")
    )
    error = value - actual
    has_last = ~np.isnan(persistence)
    n = total(np.ones_like(value))
    n_last = total(has_last)
    scores = {"n": n, "n_persistence": n_last}
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mae_matched = total(np.where(has_last, np.abs(error), 0.0)) / n_last
        scores["mae_persistence"] = (
            total(np.where(has_last, np.abs(persistence - actual), 0.0)) / n_last
        )
        scores["skill"] = _skill(mae_matched, scores["mae_persistence"])
        scores["mae"] = total(np.abs(error)) / n
        scores["rmse"] = np.sqrt(total(error**2) / n)
        scores["bias"] = total(error) / n
        for share in _COVERAGES:
            lower, upper = (pairs[f"{side}_{share}"].to_numpy() for side in ("lower", "upper"))
            scores[f"coverage_{share}"] = total((lower <= actual) & (actual <= upper)) / n
            loss = interval_score(lower, upper, actual, share / 100)
            scores[f"interval_score_{share}"] = total(loss) / n
    scores["pinball"] = _pinball(scores)
    return scores


def _skill(mae: Floats, mae_persistence: Floats) -> Floats:
    """Against a persistence that made no error, or next to none, there is no skill to speak of."""
    skill: Floats = 1 - mae / mae_persistence
    return np.where(np.isfinite(skill), skill, np.nan)


def interval_score(lower: Floats, upper: Floats, actual: Floats, coverage: float) -> Floats:
    """The interval score of central prediction intervals; lower is better.

    Source: Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and
    estimation", JASA 102, equation 43.

    Args:
        lower: Lower ends, in the parameter's unit.
        upper: Upper ends, as many.
        actual: What came.
        coverage: Nominal, such as 0.8.

    Returns:
        Width of each, and 2 / (1 - coverage) times the distance of what came from it.

    >>> interval_score(np.array([1.0]), np.array([3.0]), np.array([3.5]), 0.8).round(9).tolist()
    [7.0]
    """
    outside = np.maximum(np.maximum(lower - actual, actual - upper), 0.0)
    score: Floats = upper - lower + 2 / (1 - coverage) * outside
    return score


def _pinball(scores: dict[str, Floats]) -> Floats:
    """Mean pinball loss of the five quantiles that a forecast has.

    That of the median is half the absolute error; those of an interval's two ends add up to its
    score times (1 - coverage) / 2.
    """
    losses = scores["mae"] / 2
    for share in _COVERAGES:
        losses = losses + scores[f"interval_score_{share}"] * (100 - share) / 200
    pinball: Floats = losses / (1 + 2 * len(_COVERAGES))
    return pinball


def pooled_scores(scores: pl.DataFrame, *by: str) -> pl.DataFrame:
    """The scores of all rows with the same `by`, sorted by it.

    As if the forecasts behind the rows had been scored together; nearly so, where a row does not
    say which part of its error was made in hours that have persistence: one whose persistence made
    no error, or one of an earlier version, without `n_persistence`. What is null in some rows is
    pooled from the others.
    """
    if scores.is_empty():
        return scores.select(*by, *_MEASURES)
    key = [name for name in scores.columns if name not in (*by, *_MEASURES)]
    ordered = scores.sort(*by, *key)
    firsts, total = _runs(ordered, by)
    row = {name: ordered[name].cast(pl.Float64).to_numpy() for name in _MEASURES}
    n_last = np.where(np.isnan(row["n_persistence"]), row["n"], row["n_persistence"])

    def mean(values: Floats, weights: Floats = row["n"]) -> Floats:
        there = ~np.isnan(values)
        weight = np.where(there, weights, 0.0)
        means: Floats = total(np.where(there, values, 0.0) * weight) / total(weight)
        return means

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        pooled = {name: mean(row[name]) for name in _MEASURES}
        pooled["rmse"] = np.sqrt(mean(row["rmse"] ** 2))
        pooled["mae_persistence"] = mean(row["mae_persistence"], n_last)
        matched = np.where(
            np.isnan(row["skill"]), row["mae"], (1 - row["skill"]) * row["mae_persistence"]
        )
        matched[np.isnan(row["mae_persistence"])] = np.nan
        pooled["skill"] = _skill(mean(matched, n_last), pooled["mae_persistence"])
    pooled["n"] = total(row["n"])
    pooled["n_persistence"] = total(np.where(np.isnan(row["mae_persistence"]), 0.0, n_last))
    return _rows(firsts, by, pooled)


def forecast_report(scores: pl.DataFrame) -> pl.DataFrame:
    """`FORECAST_REPORT` rows of `FORECAST_SCORES_BY_MODEL` rows of whole months."""
    months = scores.with_columns(month=pl.col("date").dt.month_start())
    return pooled_scores(months, *FORECAST_REPORT.key).cast(FORECAST_REPORT.schema)
