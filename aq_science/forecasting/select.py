"""Fitting the forecast models of one day: which method serves each series, and how sure it is.

Per series (station and parameter) the methods compete on the last week, which none of them was
fitted on, with a forecast issued every hour. The best by mean absolute error serves, for each lag
on its own; a seasonal method only where there is no recent reading to start from. Measured on three
Beijing stations, 110 random days of hourly issues: MAE skill over persistence at one and two hours
4.0 and 3.7 % (PM2.5), 1.9 and 4.4 % (CO); the 80 % intervals held 80 to 82 %, the 95 % ones 95 to
96 %.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from aq_science.forecasting import methods
from aq_science.forecasting.features import History, State
from aq_science.forecasting.grid import (
    HOUR_SECONDS,
    Floats,
    epoch_hours,
    grids,
    series_keys,
    usable,
)
from aq_science.forecasting.intervals import error_quantiles, possible, scale_of, scaled_quantiles
from aq_science.forecasting.methods.protocol import (
    Failed,
    Fitted,
    Learned,
    Method,
    Seasonal,
    failed_because,
)
from aq_science.forecasting.network_models import Key, NetworkModels, Served
from aq_science.forecasting.schema import ANY_LAG, HORIZONS, LAGS, NO_READINGS, WINDOW_HOURS
from aq_science.tables.forecast_models import FORECAST_MODELS

HOLDOUT_HOURS = 7 * 24
"""The last week: every weekday and hour of the day once, and enough errors for 95 % quantiles."""

MIN_TRAINING_READINGS = 10 * 24
"""The hold-out week and three days before it; under this the series is short: persistence."""

MIN_EARLY_READINGS = 3 * 24
"""Readings before the hold-out: three daily cycles, the least a daily curve can be judged by."""

MIN_PAIRS = 24
"""Hold-out forecasts at a lag without which a mean error is mostly luck, no ground to choose."""

FLAT_QUANTILES = (0.05, 0.95)
"""A series whose middle 90 % is one value is flat (a stuck or clipped sensor): no curve for it."""

HYSTERESIS = 0.05
"""Of the mean error of persistence: by less than this a method is not better than the one that
served, since a week's errors differ by as much by chance."""

GUARD = 1.01
"""A newer fit of a network serves if its error on the week before is at most this share of the
older one's."""

Row: TypeAlias = dict[str, Any]


def fit_models(
    readings: pl.DataFrame,
    day: date,
    series: pl.DataFrame,
    network: pl.DataFrame | None = None,
    previous: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Fit every series on the `TRAINING_DAYS` before `day`, midnight UTC.

    Takes about 0.01 s a series. A fit that fails is a row with its `reason`, never an exception.

    Args:
        readings: station_id, parameter, hour (UTC start of the hour), value, flag; only finite
            values flagged `valid` of hours that ended by midnight count.
        day: UTC day on which the models begin to serve.
        series: The (station_id, parameter) pairs that get a row, whatever their readings.
        network: `NETWORK_MODELS` that may serve; those fitted on readings before `day` count.
        previous: `FORECAST_MODELS` of the day before: what served stays unless another method is
            clearly better.

    Returns:
        `FORECAST_MODELS`, one row a pair, sorted by parameter and station.
    """
    end = epoch_hours(datetime.combine(day, time(), UTC))
    first = end - WINDOW_HOURS
    keys = series_keys(series)
    tables = grids(usable(readings, first, end), keys, first, end)
    rows: list[Row] = []
    context = _Context(NetworkModels(network), day, _incumbents(previous))
    for (parameter,), wanted in keys.group_by("parameter", maintain_order=True):
        name = str(parameter)
        stations = wanted.get_column("station_id").to_list()
        fitted = _fit(History.of(name, tables, stations), context)
        rows += [
            {"station_id": station, "parameter": name, "day": day, **row}
            for station, row in zip(stations, fitted, strict=True)
        ]
    return pl.DataFrame(rows, schema=FORECAST_MODELS.schema, orient="row")


def plain_models(history: History, reasons: Sequence[str]) -> list[Row]:
    """Models of series that are too short, flat or silent for a competition.

    Intervals from the series' own errors, or a wide default where these are few.

    Args:
        history: Series with at least one reading each.
        reasons: For each of them why there was no competition.

    Returns:
        For each series the columns of `FORECAST_MODELS` after the keys.
    """
    scales = _scales(history)
    candidates: list[list[Row]] = [[] for _ in reasons]
    for lag in LAGS:
        state, actual = history.examples(lag, {})
        for method in methods.METHODS:
            if not method.plain or lag not in method.lags:
                continue
            fitted = method.fit(state, actual)
            predicted = _predict(method, fitted, state)
            for j, row in _candidates(history, lag, method, fitted, actual, predicted, scales):
                candidates[j].append(row)
    for seasonal in methods.SEASONAL:
        if seasonal.plain:
            for j, row in _in_sample(history, seasonal, scales):
                candidates[j].append(row)
    return [
        {
            **_blank(),
            **_training(history, j, scales[j]),
            **_served(candidates[j]),
            "reason": reason,
            "candidates": candidates[j],
        }
        for j, reason in enumerate(reasons)
    ]


@dataclass(frozen=True)
class _Context:
    """What a day's models come from beside the readings."""

    network: NetworkModels
    day: date
    incumbents: Mapping[tuple[str, str, int], str]
    """By station, parameter and lag the method that served."""


def _incumbents(previous: pl.DataFrame | None) -> dict[tuple[str, str, int], str]:
    if previous is None:
        return {}
    first = (
        previous.select("station_id", "parameter", "candidates")
        .explode("candidates")
        .drop_nulls("candidates")
        .unnest("candidates")
        .unique(["station_id", "parameter", "lag"], keep="first", maintain_order=True)
    )
    rows = first.select("station_id", "parameter", "lag", "method").iter_rows()
    return {(station, parameter, lag): method for station, parameter, lag, method in rows}


def _fit(history: History, context: _Context) -> list[Row]:
    """For each series the columns of `FORECAST_MODELS` after the keys."""
    there = ~np.isnan(history.grid.values)
    rows: list[Row | None] = []
    plain: dict[int, str] = {}
    long: list[int] = []
    for j, column in enumerate(history.columns):
        own = int(there[:, column].sum())
        rows.append(None if own else _without_readings(history))
        if own:
            reason = _unfit(history.values[:, j])
            if reason is None:
                long.append(j)
            else:
                plain[j] = reason
    if long:
        for j, outcome in zip(long, _compete(history.only(long), context), strict=True):
            if isinstance(outcome, str):
                plain[j] = outcome
            else:
                rows[j] = outcome
    made = plain_models(history.only(list(plain)), list(plain.values())) if plain else []
    for j, row in zip(plain, made, strict=True):
        rows[j] = row
    return [row for row in rows if row is not None]


def _without_readings(history: History) -> Row:
    others = not np.isnan(history.grid.values).all()
    model = methods.LAST_RESORT.name if others else NO_READINGS
    reason = f"no valid reading in the {len(history.values) // 24} days before"
    return {**_blank(), "model": model, "model_h2": model, "reason": reason, "n_training": 0}


def _unfit(values: Floats) -> str | None:
    """Why a series cannot take part in the competition; null where it can."""
    observed = values[~np.isnan(values)]
    low, high = np.quantile(observed, FLAT_QUANTILES)
    early = int((~np.isnan(values[:-HOLDOUT_HOURS])).sum())
    if len(observed) < MIN_TRAINING_READINGS or early < MIN_EARLY_READINGS:
        return (
            f"short: {len(observed)} valid readings, {early} of them before the hold-out week; "
            f"a curve needs {MIN_TRAINING_READINGS} and {MIN_EARLY_READINGS}"
        )
    if low == high:
        return "flat: nine in ten readings have one value"
    if len(observed) - early < MIN_PAIRS:
        return f"silent: {len(observed) - early} valid readings in the hold-out week"
    return None


@dataclass(frozen=True)
class _Seasonal:
    """What the seasonal methods of the competition learned, and say of every hour and series."""

    fitted: dict[str, Sequence[Fitted]]
    values: dict[str, Floats]

    @classmethod
    def fit(cls, until: History, over: History) -> "_Seasonal":
        fitted = {s.name: s.fit(until) for s in methods.SEASONAL if not s.plain}
        values = {
            s.name: _seasonal_values(s, fitted[s.name], over)
            for s in methods.SEASONAL
            if not s.plain
        }
        return cls(fitted, values)

    def failure(self, series: int) -> str | None:
        """Why a series must do without."""
        for name, fitted in self.fitted.items():
            outcome = fitted[series]
            if isinstance(outcome, Failed):
                return outcome.reason
            if outcome is not None and not np.isfinite(self.values[name][:, series]).all():
                return "ValueError: the fitted curve is not finite"
        return None

    def only(self, series: list[int]) -> "_Seasonal":
        return _Seasonal(
            {name: [fitted[j] for j in series] for name, fitted in self.fitted.items()},
            {name: values[:, series] for name, values in self.values.items()},
        )


def _compete(history: History, context: _Context) -> list[Row | str]:
    """For each series its model row, or why it has none.

    Choices and scores come from fits on the hours before the hold-out; what is stored was learned
    from all hours.
    """
    cut = len(history.values) - HOLDOUT_HOURS
    early = _Seasonal.fit(history.between(0, cut), history)
    final = _Seasonal.fit(history, history)
    outcomes: list[Row | str] = []
    sound: list[int] = []
    for j in range(len(history.columns)):
        failure = early.failure(j) or final.failure(j)
        outcomes.append(failed_because(failure or ""))
        if failure is None:
            sound.append(j)
    if sound:
        rows = _ranked(history.only(sound), early.only(sound), final.only(sound), cut, context)
        for j, row in zip(sound, rows, strict=True):
            outcomes[j] = row
    return outcomes


@dataclass
class _Entrant:
    """A candidate in the competition of one series at one lag."""

    ratio: float
    candidate: Row
    scores: Row

    def rank(self, incumbent: str | None) -> float:
        """By which candidates are put in order: what served has an advantage, if it is any good.

        The baseline has none. It serves where nothing was better for a week, and what is better by
        a little most weeks would have to wait for a week in which it is by much.
        """
        method = self.candidate["method"]
        kept = method == incumbent and method != methods.BASELINE.name and self.ratio <= 1
        return self.ratio - HYSTERESIS if kept else self.ratio


@dataclass(frozen=True)
class _Errors:
    """What a method said of a series in the hold-out, and what came."""

    target: Floats
    predicted: Floats
    baseline: Floats
    fallback: Floats

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        return ~np.isnan(self.target) & ~np.isnan(self.predicted)

    def entrant(self, candidate: Row, perfect: float = 1.0) -> _Entrant:
        """The candidate with its scores; `perfect` is its ratio to a baseline without error.

        Methods may be computable at different hours: each is compared with the baseline on its own
        hours, and the ratio ranks them.
        """
        there = self.scored
        error = (self.target - self.predicted)[there]
        mae, mae_baseline = _mae(error), _mae((self.target - self.baseline)[there])
        scores = {
            "n": int(there.sum()),
            "mae": mae,
            "rmse": float(np.sqrt(np.mean(error**2))),
            "mae_persistence": mae_baseline,
            "mae_fallback": _mae((self.target - self.fallback)[there]),
            "skill": 1 - mae / mae_baseline if mae_baseline > 0 else None,
        }
        return _Entrant(mae / mae_baseline if mae_baseline > 0 else perfect, candidate, scores)


def _ranked(
    history: History, early: _Seasonal, final: _Seasonal, cut: int, context: _Context
) -> list[Row | str]:
    """Compete at every lag and put each series' candidates in order."""
    scales = _scales(history)
    count = len(history.columns)
    candidates: list[list[Row]] = [[] for _ in range(count)]
    at_lag: list[list[Row]] = [[] for _ in range(count)]
    scores: list[Row] = [{} for _ in range(count)]
    failures: dict[int, str] = {}
    fallback = next(iter(early.values.values()))[cut:]
    names = history.stations
    for lag in reversed(LAGS):
        entrants = _at_lag(history, early, final, cut, lag, scales, failures)
        for j, entrant in _of_network(history, context, cut, lag, fallback):
            entrants[j].append(entrant)
        for j, ranked in enumerate(entrants):
            serving = context.incumbents.get((names[j], history.parameter, lag))
            ranked.sort(key=lambda entrant: entrant.rank(serving))
            # Read every third hour, it has no pairs one hour apart: the next longer lag serves.
            at_lag[j] = [entrant.candidate for entrant in ranked] or [
                {**candidate, "lag": lag} for candidate in at_lag[j]
            ]
            candidates[j] = at_lag[j] + candidates[j]
            if lag in HORIZONS and ranked:
                scores[j] |= {f"{name}_h{lag}": v for name, v in ranked[0].scores.items()}
    for j, row in _seasonal_candidates(history, early, final, cut, scales):
        candidates[j].append(row)
    rows: list[Row | str] = []
    for j in range(count):
        if j in failures:
            rows.append(failed_because(failures[j]))
        elif not at_lag[j]:
            rows.append(f"sparse: under {MIN_PAIRS} hold-out readings any tabulated lag apart")
        else:
            rows.append(
                {
                    **_blank(),
                    **_training(history, j, scales[j]),
                    **scores[j],
                    **_served(candidates[j]),
                    "candidates": candidates[j],
                }
            )
    return rows


def _seasonal_candidates(
    history: History, early: _Seasonal, final: _Seasonal, cut: int, scales: list[float]
) -> Iterator[tuple[int, Row]]:
    """What serves where the last reading is too old, in the order of falling back."""
    for seasonal in methods.SEASONAL:
        if seasonal.plain:
            yield from _in_sample(history, seasonal, scales)
        else:
            yield from _candidates(
                history,
                ANY_LAG,
                seasonal,
                final.fitted[seasonal.name],
                history.values[cut:],
                early.values[seasonal.name][cut:],
                scales,
            )


def _at_lag(
    history: History,
    early: _Seasonal,
    final: _Seasonal,
    cut: int,
    lag: int,
    scales: list[float],
    failures: dict[int, str],
) -> list[list[_Entrant]]:
    """For each series the methods that can be scored on the hold-out at one lag."""
    state, actual = history.examples(lag, early.values)
    last_state, _ = history.examples(lag, final.values)
    held_out = slice(cut - lag, None)
    target = actual[held_out]
    baseline = state.last[held_out]
    fallback = next(iter(early.values.values()))[cut:]
    entrants: list[list[_Entrant]] = [[] for _ in history.columns]
    for method in methods.METHODS:
        if lag not in method.lags:
            continue
        learned_early = method.fit(state.take(slice(cut - lag)), actual[: cut - lag])
        learned = method.fit(last_state, actual)
        # As it is served: an error against what no forecast says would make intervals too wide.
        predicted = possible(history.parameter, _predict(method, learned_early, state)[held_out])
        made = dict(_candidates(history, lag, method, learned, target, predicted, scales))
        for j in range(len(history.columns)):
            for fitted in (learned_early[j], learned[j]):
                if isinstance(fitted, Failed):
                    failures.setdefault(j, fitted.reason)
            scored = ~np.isnan(target[:, j]) & ~np.isnan(predicted[:, j])
            if j not in made or scored.sum() < MIN_PAIRS:
                continue
            errors = _Errors(target[:, j], predicted[:, j], baseline[:, j], fallback[:, j])
            perfect = 0.0 if method is methods.BASELINE else 1.0
            entrants[j].append(errors.entrant(made[j], perfect))
    return entrants


def _sounder(served: Served, target: Floats, scored: Floats, newest: Floats) -> date:
    """Which fit of a network serves: the newest, unless something is wrong with it.

    It has seen the hold-out week and the other has not, so that it must not be the worse one there.
    """
    there = ~np.isnan(target) & ~np.isnan(scored) & ~np.isnan(newest)
    if not there.any():
        return served.newest_to
    worse = _mae((target - newest)[there]) > GUARD * _mae((target - scored)[there])
    return served.scored_to if worse else served.newest_to


def _of_network(
    history: History, context: _Context, cut: int, lag: int, fallback: Floats
) -> Iterator[tuple[int, _Entrant]]:
    """The methods of the network at one lag, by what they had learned before the hold-out."""
    state, actual = history.examples(lag, {})
    held_out = slice(cut - lag, None)
    state, target = state.take(held_out), actual[held_out]
    for method in methods.NETWORK:
        served = context.network.on(Key(method.name, history.parameter, lag), context.day)
        if lag not in method.lags or served is None:
            continue
        made = method.predict(served.scored, state)
        predicted = possible(history.parameter, made.value)
        serving = served.newest_to
        if served.scored_to < served.newest_to:
            newest = possible(history.parameter, method.predict(served.newest, state).value)
            serving = _sounder(served, target, predicted, newest)
        learned = json.dumps(serving.isoformat())
        for j in range(target.shape[1]):
            errors = _Errors(target[:, j], predicted[:, j], state.last[:, j], fallback[:, j])
            if errors.scored.sum() < MIN_PAIRS:
                continue
            scaled = (target[:, j] - predicted[:, j]) / made.size[:, j]
            candidate = {"lag": lag, "method": method.name, "learned": learned}
            yield j, errors.entrant(candidate | scaled_quantiles(scaled))


def _candidates(
    history: History,
    lag: int,
    method: Method | Seasonal,
    fitted: Sequence[Fitted],
    actual: Floats,
    predicted: Floats,
    scales: list[float],
) -> list[tuple[int, Row]]:
    """A candidate for each series for which the method learned something, with its interval."""
    made = []
    for j in _usable(fitted):
        quantiles = error_quantiles(
            history.parameter, actual[:, j] - predicted[:, j], predicted[:, j], scales[j]
        )
        learned = json.dumps(fitted[j], separators=(",", ":"))
        made.append((j, {"lag": lag, "method": method.name, "learned": learned, **quantiles}))
    return made


def _in_sample(history: History, seasonal: Seasonal, scales: list[float]) -> list[tuple[int, Row]]:
    """Candidates of a method too plain to be overfitted: intervals from its training errors."""
    fitted = seasonal.fit(history)
    values = _seasonal_values(seasonal, fitted, history)
    return _candidates(history, ANY_LAG, seasonal, fitted, history.values, values, scales)


def _usable(fitted: Sequence[Fitted]) -> list[int]:
    return [j for j, f in enumerate(fitted) if f is not None and not isinstance(f, Failed)]


def _predict(method: Method, fitted: Sequence[Fitted], state: State) -> Floats:
    """Forecasts of examples, NaN for series for which nothing was learned."""
    series = _usable(fitted)
    out = np.full(state.place.shape, np.nan)
    if series:
        learned = [fitted[j] for j in series]
        of = np.arange(len(series))
        some = state if len(series) == len(fitted) else state.take(np.s_[:, series])
        out[:, series] = method.predict(learned, of, some)
    return out


def _seasonal_values(seasonal: Seasonal, fitted: Sequence[Fitted], history: History) -> Floats:
    """Its values like `history.values`, NaN for series for which nothing was learned."""
    series = _usable(fitted)
    out = np.full(history.values.shape, np.nan)
    if series:
        learned: list[Learned] = [fitted[j] for j in series]
        hours = np.tile(history.hours, len(series))
        of = np.repeat(np.arange(len(series)), len(out))
        out[:, series] = seasonal.at(learned, of, hours).reshape(len(series), len(out)).T
    return out


def _served(candidates: Sequence[Mapping[str, Any]]) -> Row:
    """What serves at the two horizons when the last hour arrived."""
    first = {h: next((c["method"] for c in candidates if c["lag"] == h), None) for h in HORIZONS}
    return {"model": first[1], "model_h2": first[2]}


def _scales(history: History) -> list[float]:
    return [scale_of(column[~np.isnan(column)]) for column in history.values.T]


def _training(history: History, series: int, scale: float) -> Row:
    values = history.values[:, series]
    there = np.flatnonzero(~np.isnan(values))
    hours = np.unique((history.grid.first + there) % 24)
    last = (history.grid.first + int(there[-1])) * HOUR_SECONDS
    return {
        "n_training": len(there),
        "training_end": datetime.fromtimestamp(last, UTC),
        "scale": scale,
        "hours_seen": int((1 << hours).sum()),
        "reading_range": float(np.ptp(values[there])),
    }


def _blank() -> Row:
    return dict.fromkeys(set(FORECAST_MODELS.schema.names()) - {"station_id", "parameter", "day"})


def _mae(errors: Floats) -> float:
    return float(np.mean(np.abs(errors)))
