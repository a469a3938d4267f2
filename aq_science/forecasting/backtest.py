"""Rolling-origin forecasts of past readings, and how good they were.

As in service: at every issue time the forecasts use the readings of hours that had ended by then,
and models fitted on the weeks before a midnight that had passed. Services fit anew each night; here
it is every few days, since a fit costs far more than a forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import polars as pl

from aq_science.forecasting import methods
from aq_science.forecasting.network_models import SCORED_DAYS, refit_days
from aq_science.forecasting.predict import forecast_many
from aq_science.forecasting.schema import FORECAST_SCHEMA, TRAINING_DAYS, WINDOW_HOURS
from aq_science.forecasting.select import fit_models
from aq_science.windows import DAY, HOUR

BACKTEST_SCHEMA = pl.Schema({**FORECAST_SCHEMA, "actual": pl.Float64()})
_KEY = ("station_id", "parameter", "hour")


class Block(NamedTuple):
    """Issue times that models of one day serve."""

    model_day: date
    issue_times: tuple[datetime, ...]


def blocks(
    first: datetime, last: datetime, since: datetime | None, refit_days: int
) -> Iterator[Block]:
    """The issue times to forecast, by the day whose models serve them.

    Args:
        first: Hour of the first reading, UTC.
        last: Hour of the last one.
        since: First issue time, on the hour; `TRAINING_DAYS` after the first reading without.
        refit_days: Days from one fit to the next.

    Yields:
        Blocks in the order of time, up to the last hour with a reading.

    Raises:
        ValueError: The readings end before scoring starts.
    """
    begin = since or datetime.combine((first + TRAINING_DAYS * DAY).date() + DAY, time(), UTC)
    if begin > last:
        raise ValueError(
            f"The readings end at {last:%Y-%m-%d %H:%M}Z, before scoring starts at "
            f"{begin:%Y-%m-%d %H:%M}Z."
        )
    day = begin.date()
    while (midnight := datetime.combine(day, time(), UTC)) <= last:
        following = midnight + timedelta(days=refit_days)
        start, end = max(midnight, begin), min(following, last.replace(minute=0) + HOUR)
        yield Block(day, tuple(start + n * HOUR for n in range((end - start) // HOUR)))
        day = following.date()


def seen_by(readings: pl.DataFrame, block: Block) -> pl.DataFrame:
    """The readings that a block's models and forecasts may look at, and those it is scored by."""
    midnight = datetime.combine(block.model_day, time(), UTC)
    first = midnight - timedelta(hours=WINDOW_HOURS)
    return readings.filter(pl.col("hour").is_between(first, block.issue_times[-1] + 2 * HOUR))


def network_days(series: pl.DataFrame, first_day: date, days: Sequence[date]) -> list[date]:
    """The days before which network models are fitted: one to judge by, and those that serve.

    Args:
        series: The (station_id, parameter) pairs to forecast.
        first_day: UTC day of the first reading.
        days: Of the blocks, ascending, not empty.

    Returns:
        Days ascending. There are fewer of them the more there is to learn from, see `refit_days`.
    """
    stations = series.get_column("station_id").n_unique()
    out = [days[0] - timedelta(days=SCORED_DAYS), days[0]]
    for day in days[1:]:
        if day - out[-1] >= timedelta(days=refit_days(stations, (day - first_day).days)):
            out.append(day)
    return out


def usable_models(network: pl.DataFrame, block: Block) -> pl.DataFrame:
    """The network models that a block may use: the one that serves, and one to judge it by."""
    early = block.model_day - timedelta(days=SCORED_DAYS)
    trained = network.get_column("trained_to")
    ages = [trained.filter(trained <= until).max() for until in (block.model_day, early)]
    return network.filter(pl.col("trained_to").is_in([age for age in ages if age is not None]))


class Forecasts(NamedTuple):
    """Forecasts of a block, and the models that made them."""

    rows: pl.DataFrame
    models: pl.DataFrame
    of_each: pl.DataFrame
    """Of every method by itself, where asked for."""


def backtest(
    readings: pl.DataFrame,
    block: Block,
    series: pl.DataFrame,
    network: pl.DataFrame | None = None,
    previous: pl.DataFrame | None = None,
    *,
    each_method: bool = False,
) -> Forecasts:
    """Forecast series at every issue time of a block.

    Args:
        readings: `station_id, parameter, hour` (UTC start of the hour), `value, flag` in canonical
            units, of the block (`seen_by`) and of every parameter that may help.
        block: The issue times, and the day of the models.
        series: The (station_id, parameter) pairs to forecast.
        network: `NETWORK_MODELS`, of which those fitted before the block's day are used.
        previous: The models of the block before.
        each_method: Whether every method forecasts by itself as well, where it can.

    Returns:
        `BACKTEST_SCHEMA`, sorted by series, issue time and horizon, with the models; `actual` is
        null where no valid reading came, `persistence` is the last valid reading, null where it is
        too old.
    """
    models = fit_models(readings, block.model_day, series, network, previous)

    def made(by: pl.DataFrame) -> pl.DataFrame:
        rows = forecast_many(by, readings, block.issue_times, series, network)
        return with_actual(rows, readings)

    names = [*(m.name for m in methods.METHODS), *(m.name for m in methods.NETWORK)]
    if not each_method:
        names = []
    of_each = [made(only_method(models, name)).filter(model=name) for name in names]
    return Forecasts(made(models), models, pl.concat([BACKTEST_SCHEMA.to_frame(), *of_each]))


def only_method(models: pl.DataFrame, name: str) -> pl.DataFrame:
    """Models with the candidates of one method alone, and the curves that it may need."""
    curves = [seasonal.name for seasonal in methods.SEASONAL]
    own = pl.element().struct.field("method").is_in([name, *curves])
    return models.with_columns(pl.col("candidates").list.filter(own))


def with_actual(forecasts: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """Forecasts with the valid reading of their hour, `BACKTEST_SCHEMA`."""
    actual = readings.filter(pl.col("flag").cast(pl.String) == "valid", pl.col("value").is_finite())
    return forecasts.join(
        actual.select(pl.col("station_id", "parameter").cast(pl.String), "hour", actual="value"),
        on=_KEY,
        how="left",
        maintain_order="left",
    )


def backtest_scores(rows: pl.DataFrame, *by: str) -> pl.DataFrame:
    """How good forecasts were, beside persistence.

    `rows` has `BACKTEST_SCHEMA`; what has no actual value is not scored. The result has a row for
    each value of `by`: `n`, `mae`, `rmse`, `bias` (forecast less actual), `mae_persistence` and
    `skill` over the hours that persistence has a value for, the share of actual values within both
    intervals and the mean interval score of the 80 % one (Gneiting and Raftery, JASA 102, 2007).
    """
    scored = rows.filter(pl.col("actual").is_not_null(), pl.col("value").is_not_null())
    actual, value = pl.col("actual"), pl.col("value")
    error = value - actual
    compared = pl.col("persistence").is_not_null()
    mae_compared = error.abs().filter(compared).mean()
    mae_persistence = (pl.col("persistence") - actual).abs().mean()
    below, above = pl.col("lower_80") - actual, actual - pl.col("upper_80")
    missed = pl.max_horizontal(below, above, pl.lit(0.0))
    width = pl.col("upper_80") - pl.col("lower_80")
    return (
        scored.group_by(by)
        .agg(
            n=pl.len(),
            mae=error.abs().mean(),
            rmse=(error**2).mean().sqrt(),
            bias=error.mean(),
            mae_persistence=mae_persistence,
            skill=pl.when(mae_persistence > 0).then(1 - mae_compared / mae_persistence),
            coverage_80=actual.is_between("lower_80", "upper_80").mean(),
            coverage_95=actual.is_between("lower_95", "upper_95").mean(),
            interval_score_80=(width + 2 / 0.2 * missed).mean(),
        )
        .sort(by)
    )
