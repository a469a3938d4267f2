"""Scores of forecasts against the readings that then came.

A forecast belongs to the UTC day on which it was issued (`issued_for`), so that one day's scores
are those of its 24 issue times; the hour predicted at 23:00 for horizon 2 lies on the next day.

*Persistence* is the one that is served: the last valid reading whose hour had ended by the issue
time, at most as many hours before the predicted hour as `methods.persistence` reaches. It is taken
from the readings as they are now: one that arrived after the issue counts for it, and not for the
forecast.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from aq_science.forecasting.grid import Floats
from aq_science.forecasting.methods import BASELINE
from aq_science.forecasting.schema import HORIZONS
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.windows import HOUR

# Readings this far around a period's issue times are all that its scores need.
REACH_BEFORE = max(BASELINE.lags) * HOUR
REACH_AFTER = (max(HORIZONS) - 1) * HOUR

_SERIES = ("network", "station_id", "parameter")
_KEY = (*_SERIES, "horizon", "date", "mode")


def forecast_scores(forecasts: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """`FORECAST_SCORES` rows, sorted by their key.

    `forecasts`: rows of the table of that name, of whole UTC days of `issued_for`.
    `readings`: `HOURLY_READINGS` (network, station_id, parameter, hour, value, flag) from
    `REACH_BEFORE` ahead of the first issue time to `REACH_AFTER` behind the last day. Only a
    forecast with a value and a valid reading of its hour is counted. `skill` compares the two
    errors over the hours that persistence has a value for, and is null where its error is zero.
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
        .sort(*_KEY, "issued_for")
    )
    if pairs.is_empty():
        return FORECAST_SCORES.schema.to_frame()
    return _scored(pairs)


def _scored(pairs: pl.DataFrame) -> pl.DataFrame:
    """One row a run of equal keys, the same to the last bit in every run.

    Added up in the order of the rows: an engine that adds in the order in which its threads end
    would change last digits.
    """
    run = pairs.select(pl.struct(_KEY).rle_id().alias("run"))["run"].to_numpy()
    starts = np.unique(run, return_index=True)[1]
    actual, value, persistence = (
        pairs[name].to_numpy() for name in ("actual", "value", "persistence")
    )

    def total(values: Floats | npt.NDArray[np.bool_]) -> Floats:
        sums: Floats = np.add.reduceat(values, starts, dtype=np.float64)
        return sums

    error = value - actual
    has_last = ~np.isnan(persistence)
    n = np.diff(np.append(starts, len(pairs)))
    n_last = total(has_last)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mae_matched = total(np.where(has_last, np.abs(error), 0.0)) / n_last
        mae_persistence = total(np.where(has_last, np.abs(persistence - actual), 0.0)) / n_last
        skill = 1 - mae_matched / mae_persistence
    # Against a persistence that made no error, or next to none, there is no skill to speak of.
    skill[~np.isfinite(skill)] = np.nan

    def covered(share: int) -> Floats:
        lower, upper = (pairs[f"{side}_{share}"].to_numpy() for side in ("lower", "upper"))
        return total((lower <= actual) & (actual <= upper)) / n

    return (
        pairs[starts]
        .with_columns(
            n=pl.Series(n, dtype=pl.Int32),
            mae=pl.Series(total(np.abs(error)) / n),
            rmse=pl.Series(np.sqrt(total(error**2) / n)),
            bias=pl.Series(total(error) / n),
            mae_persistence=pl.Series(mae_persistence, nan_to_null=True),
            skill=pl.Series(skill, nan_to_null=True),
            coverage_80=pl.Series(covered(80)),
            coverage_95=pl.Series(covered(95)),
        )
        .select(FORECAST_SCORES.schema.names())
        .cast(FORECAST_SCORES.schema)
    )


def pooled_scores(scores: pl.DataFrame, *by: str) -> pl.DataFrame:
    """`n, mae, mae_persistence, skill, coverage_80` of all rows with the same `by`, sorted.

    As if the forecasts behind the rows had been scored together, where persistence had a value for
    every hour; else an approximation.
    """
    n = pl.col("n")
    compared = pl.col("mae_persistence").is_not_null()

    def mean(column: str) -> pl.Expr:
        return (pl.col(column) * n).sum() / n.sum()

    def mean_compared(column: str) -> pl.Expr:
        return (pl.col(column) * n).filter(compared).sum() / n.filter(compared).sum()

    return (
        scores.lazy()
        .group_by(by)
        .agg(
            n.sum(),
            mae=mean("mae"),
            mae_persistence=mean_compared("mae_persistence"),
            skill=1 - mean_compared("mae") / mean_compared("mae_persistence"),
            coverage_80=mean("coverage_80"),
        )
        .with_columns(pl.when(pl.col("mae_persistence") != 0).then("skill"))
        # Not a number where persistence had a value for no hour at all.
        .with_columns(pl.col("mae_persistence", "skill").fill_nan(None))
        .sort(by)
        .collect(engine="in-memory")
    )
