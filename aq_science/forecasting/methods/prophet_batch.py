"""Prophet's curves without Prophet: its model and priors, fitted to many series at once.

The model is that of `prophet.stan`, and the scaling, changepoints and seasons it is given are those
of `forecaster.py` (prophet 1.5) with Prophet's defaults. Stan climbs the posterior by L-BFGS, which
expects a smooth slope where the bends' prior has an edge, and stops early; `map_fit` gets to the
top.
"""

from collections.abc import Mapping

import numpy as np

from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods.curves import DAY_SECONDS, Curve, Seasonality, bends, fourier
from aq_science.forecasting.methods.map_fit import Priors, Sums, posterior_maxima, sums_of

WEEKLY_MIN_SECONDS = 14 * DAY_SECONDS
"""Two whole weeks: with less, a weekly pattern is one week's weather learned by heart."""

CHANGEPOINTS = 25
CHANGEPOINT_RANGE = 0.8
"""Places where the trend may bend, spread over the first 80 % of the readings."""

SEASONS = {"weekly": (7.0, 3), "daily": (1.0, 4)}
"""Periods in days and orders, as in `Prophet.set_auto_seasonalities`."""

COEFFICIENTS = 41
_LINE = slice(0, 2)  # level and slope
_BENDS = slice(2, 27)
_WAVES = {"weekly": slice(27, 33), "daily": slice(33, 41)}

_PRECISION = np.full(COEFFICIENTS, 1 / 10**2)
_PRECISION[_LINE] = 1 / 5**2
_PRECISION[_BENDS] = 0.0
PRIORS = Priors(_PRECISION, _BENDS, scale=0.05, noise=0.5)
"""Those of `prophet.stan`, with Prophet's `changepoint_prior_scale` and `seasonality_prior_scale`.
"""

CHUNK = 256
"""Series at once, which take 13 MB."""


def fit_curves(seconds: Ints, values: Floats) -> list[Curve | None]:
    """Fit trend, daily and, from two weeks on, weekly seasonality to each series.

    Args:
        seconds: Starts of the hours, seconds since 1970-01-01 UTC, ascending.
        values: Hours x series, NaN where there is no reading.

    Returns:
        For each series its curve, in which the others have no part. None where Prophet refuses
        (under two readings, infinite ones), and where the posterior has no maximum: readings no
        more than coefficients, or next to no noise.
    """
    waves = {name: fourier(seconds, *season) for name, season in SEASONS.items()}
    curves: list[Curve | None] = []
    for first in range(0, values.shape[1], CHUNK):
        curves += _fit(seconds, waves, values[:, first : first + CHUNK])
    return curves


def _fit(seconds: Ints, waves: Mapping[str, Floats], values: Floats) -> list[Curve | None]:
    curves: list[Curve | None] = [None] * values.shape[1]
    levels: dict[int, Curve] = {}
    sums = []
    for series, column in enumerate(values.T):
        there = np.flatnonzero(~np.isnan(column))
        observed = column[there]
        if len(there) < 2 or not np.isfinite(observed).all():
            continue
        level = _level(seconds[there], observed)
        if observed.min() == observed.max():
            curves[series] = level  # as Prophet has it
        elif len(there) > COEFFICIENTS:
            design = _design(level, seconds[there], {n: table[there] for n, table in waves.items()})
            sums.append(sums_of(design, observed / level["y_scale"]))
            levels[series] = level
    if sums:
        maxima = posterior_maxima(Sums(*map(np.stack, zip(*sums, strict=True))), PRIORS)
        for series, coefficients in zip(levels, maxima, strict=True):
            if np.isfinite(coefficients).all():
                curves[series] = _with(levels[series], coefficients)
    return curves


def _level(seconds: Ints, values: Floats) -> Curve:
    """The first reading at all times, with Prophet's scales, changepoints and seasons."""
    start, end = int(seconds[0]), int(seconds[-1])
    y_scale = float(np.abs(values).max()) or 1.0
    early = int(np.floor(len(seconds) * CHANGEPOINT_RANGE))
    places = np.linspace(0, early - 1, min(CHANGEPOINTS, early - 1) + 1).round().astype(int)[1:]
    weekly = end - start >= WEEKLY_MIN_SECONDS
    return Curve(
        start=start,
        t_scale=float(end - start),
        y_scale=y_scale,
        k=0.0,
        m=float(values[0] / y_scale),
        delta=[0.0] * len(places),
        changepoints=((seconds[places] - start) / (end - start)).tolist(),
        seasonalities=[
            Seasonality(name=name, period=period, order=order, beta=[0.0] * (2 * order))
            for name, (period, order) in SEASONS.items()
            if weekly or name != "weekly"
        ],
    )


def _design(curve: Curve, seconds: Ints, waves: Mapping[str, Floats]) -> Floats:
    """Readings x coefficients. Seasons that the curve lacks are columns of zeros."""
    t = (seconds - curve["start"]) / curve["t_scale"]
    design = np.zeros((len(t), COEFFICIENTS))
    design[:, _LINE] = np.stack([np.ones_like(t), t], axis=1)
    design[:, _BENDS] = bends(t, np.array(curve["changepoints"]))
    for season in curve["seasonalities"]:
        design[:, _WAVES[season["name"]]] = waves[season["name"]]
    return design


def _with(curve: Curve, coefficients: Floats) -> Curve:
    """The curve with what was learned."""
    m, k = coefficients[_LINE].tolist()
    return {
        **curve,
        "m": m,
        "k": k,
        "delta": coefficients[_BENDS].tolist(),
        "seasonalities": [
            {**season, "beta": coefficients[_WAVES[season["name"]]].tolist()}
            for season in curve["seasonalities"]
        ],
    }
