"""Models of whole networks: fitted apart from those of the series, over as long as helps.

A model that serves from a day on is fitted on all that was read before it. What it is worth can
only be seen on readings it never saw, so that one of `SCORED_DAYS` before is kept beside it: it
stands for the method in the competition of the series, and its errors make the intervals.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from aq_science.forecasting import methods
from aq_science.forecasting.features import History
from aq_science.forecasting.grid import HOUR_SECONDS, epoch_hours, grids, series_keys, usable
from aq_science.forecasting.methods.gradient_boosting import MAX_EXAMPLES
from aq_science.forecasting.methods.protocol import (
    Failed,
    Fitted,
    Learned,
    NetworkMethod,
    failed_because,
    fit_each,
)
from aq_science.forecasting.schema import TRAINING_DAYS
from aq_science.forecasting.table import forecast_series
from aq_science.tables.network_models import NETWORK_MODELS

SCORED_DAYS = 7
"""The hold-out week of the series: the older model must not have seen it."""

REFIT_DAYS = 7
"""A model serves a week: measured on AirQino's year, one of four weeks is 1 to 2 % worse."""

WANTED_EXAMPLES = 300_000
"""Hours of stations that are enough: years of a few stations, weeks of a thousand."""

MAX_TRAINING_DAYS = 3 * 366

DAYS_AN_EXAMPLE = 7 / 20_000
"""Of refits in a row: a week for twenty thousand examples, a year of two or three stations."""


def served_and_scored(day: date) -> tuple[date, date]:
    """The Mondays before which the models are fitted that serve on a day, and score it.

    The same whichever day is asked first, so that a range gives the same models however it is cut.
    """
    monday = day - timedelta(days=day.weekday())
    return monday, monday - timedelta(days=SCORED_DAYS)


def training_days(stations: int) -> int:
    """Days of readings to fit a network of so many stations on, from eight weeks to three years."""
    wanted = math.ceil(WANTED_EXAMPLES / (24 * max(stations, 1)))
    return min(max(wanted, TRAINING_DAYS), MAX_TRAINING_DAYS)


def fit_network_models(
    readings: pl.DataFrame,
    trained_to: date,
    day: date,
    positions: pl.DataFrame | None = None,
    workers: int = 1,
) -> pl.DataFrame:
    """Fit every network method at every lag and parameter.

    Args:
        readings: As for `select.fit_models`, of all parameters that may help; hours that had ended
            by midnight UTC of `trained_to` count, of the `training_days` before it.
        trained_to: UTC day before which readings count.
        day: UTC day for whose models the fit is.
        positions: `station_id, latitude, longitude` in degrees, of the stations that have any.
        workers: Fits beside each other, in threads: LightGBM does not hold Python's lock.

    Returns:
        `NETWORK_MODELS`; a fit that fails or has too little to learn from is a row with its reason.
    """
    end = epoch_hours(datetime.combine(trained_to, time(), UTC))
    wanted = series_keys(forecast_series(readings))
    stations = wanted.get_column("station_id").n_unique()
    valid = usable(readings, end - training_days(stations) * 24, end)
    if valid.is_empty():
        return NETWORK_MODELS.schema.to_frame()
    first = int(valid.get_column("at").to_numpy().min())
    tables = grids(valid, wanted, first, end)
    places = _places(positions)
    histories = {
        str(name): History.of(str(name), tables, part.get_column("station_id").to_list(), places)
        for (name,), part in wanted.group_by("parameter", maintain_order=True)
    }
    jobs = [
        (method, history, lag)
        for history in histories.values()
        for method in methods.NETWORK
        for lag in method.lags
    ]
    with ThreadPoolExecutor(workers) as pool:
        fitted = list(pool.map(lambda job: _fit(*job), jobs))
    common = {
        "day": day,
        "trained_to": trained_to,
        "trained_from": datetime.fromtimestamp(first * HOUR_SECONDS, UTC),
    }
    rows = [
        {**common, **_row(method, history, lag, outcome)}
        for (method, history, lag), outcome in zip(jobs, fitted, strict=True)
    ]
    return pl.DataFrame(rows, schema=NETWORK_MODELS.schema, orient="row")


def _places(positions: pl.DataFrame | None) -> dict[str, tuple[float, float]]:
    if positions is None:
        return {}
    known = positions.drop_nulls(["latitude", "longitude"])
    rows = known.select(pl.col("station_id").cast(pl.String), "latitude", "longitude").iter_rows()
    return {name: (latitude, longitude) for name, latitude, longitude in rows}


def _fit(method: NetworkMethod, history: History, lag: int) -> Fitted:
    [fitted] = fit_each(1, lambda _: method.fit(history, lag))
    return fitted


def _row(method: NetworkMethod, history: History, lag: int, fitted: Fitted) -> dict[str, object]:
    reason = None
    if fitted is None:
        reason = f"short: too few pairs of valid readings {lag} h apart"
    elif isinstance(fitted, Failed):
        reason = failed_because(fitted.reason)
    there = ~np.isnan(history.values)
    return {
        "parameter": history.parameter,
        "lag": lag,
        "method": method.name,
        "n_stations": int(there.any(axis=0).sum()),
        "n_readings": int(there.sum()),
        "reason": reason,
        "learned": None if reason else json.dumps(fitted, separators=(",", ":")),
    }


class Key(NamedTuple):
    """A model of a network but for its age."""

    method: str
    parameter: str
    lag: int


class Generation(NamedTuple):
    """One age of a model."""

    trained_to: date
    learned: str
    """JSON."""


@dataclass(frozen=True)
class Served:
    """What stands for a network method in the competition, and what serves if it wins."""

    scored: Learned
    scored_to: date
    """Before which it was fitted."""
    newest: Learned
    newest_to: date
    """It has seen the hold-out week."""


class NetworkModels:
    """Models of a network of several days, by method, parameter and lag."""

    def __init__(self, rows: pl.DataFrame | None) -> None:
        self._of: dict[Key, list[Generation]] = {}
        # Trees are long, and read once for all the hours that they serve.
        self._read: Callable[[str], Learned] = functools.cache(json.loads)
        if rows is None:
            return
        known = rows.filter(pl.col("learned").is_not_null()).sort("trained_to", "day")
        names = ("method", "parameter", "lag", "trained_to", "learned")
        for method, parameter, lag, trained_to, learned in known.select(names).iter_rows():
            key = Key(str(method), str(parameter), int(lag))
            self._of.setdefault(key, []).append(Generation(trained_to, learned))

    def on(self, key: Key, day: date) -> Served | None:
        """The model that serves from a day on, and the one that it is judged by."""
        serving = self._newest(key, day)
        scored = self._newest(key, day - timedelta(days=SCORED_DAYS))
        if serving is None or scored is None:
            return None
        return Served(
            self._read(scored.learned),
            scored.trained_to,
            self._read(serving.learned),
            serving.trained_to,
        )

    def learned(self, key: Key, trained_to: date) -> Learned | None:
        """What a model learned; None where it is not there."""
        found = self._newest(key, trained_to)
        exact = found is not None and found.trained_to == trained_to
        return self._read(found.learned) if found and exact else None

    def _newest(self, key: Key, until: date) -> Generation | None:
        usable_ = [found for found in self._of.get(key, ()) if found.trained_to <= until]
        return usable_[-1] if usable_ else None


def refit_days(stations: int, days: int) -> int:
    """Days from one fit of past network models to the next, where many are fitted in a row.

    Args:
        stations: With readings.
        days: Of readings that there are.

    Returns:
        Fewer for a young network: a model of weeks changes with every week, one of years hardly in
        a month. A year of fits so takes much the same time for any network.
    """
    examples = min(stations * min(days, training_days(stations)) * 24, MAX_EXAMPLES)
    return math.ceil(examples * DAYS_AN_EXAMPLE)
