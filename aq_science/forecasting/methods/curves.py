"""A fitted curve as plain data: a piecewise linear trend plus Fourier series.

Some sixty numbers in a JSON-able dictionary: no pickle, no training history, and no import of
prophet (2 to 4 seconds) where a forecast is made.

Source: Taylor and Letham (2018), "Forecasting at scale"; formulas as in prophet 1.5,
`forecaster.py` (`piecewise_linear`, `fourier_series`, `predict`).
"""

from typing import TypedDict

import numpy as np

from aq_science.forecasting.grid import HOUR_SECONDS, Floats, Ints

DAY_SECONDS = 24 * HOUR_SECONDS


class Seasonality(TypedDict):
    """One Fourier series: period in days and coefficients sin 1, cos 1, sin 2, cos 2, ..."""

    name: str
    period: float
    order: int
    beta: list[float]


class Curve(TypedDict):
    """A fitted curve. Times are seconds since 1970-01-01 UTC; `t = (time - start) / t_scale`.

    yhat(t) = y_scale * (trend(t) + sum of seasonalities), where the trend starts at `m` with slope
    `k` and its slope changes by `delta[i]` at `changepoints[i]` (in units of t).
    """

    start: int
    t_scale: float
    y_scale: float
    k: float
    m: float
    delta: list[float]
    changepoints: list[float]
    seasonalities: list[Seasonality]


def curve_at(curve: Curve, seconds: Ints | Floats) -> Floats:
    """Evaluate a curve, in the unit of the readings it was fitted on.

    `seconds`: any shape, seconds since 1970-01-01 UTC of the starts of the hours. Same shape out.
    Equal to Prophet's own `predict()["yhat"]` but for rounding.
    """
    at = np.asarray(seconds, dtype=np.float64)
    t = (at - curve["start"]) / curve["t_scale"]
    delta = np.asarray(curve["delta"], dtype=np.float64)
    changepoints = np.asarray(curve["changepoints"], dtype=np.float64)
    total: Floats = curve["m"] + curve["k"] * t + bends(t, changepoints) @ delta
    for seasonality in curve["seasonalities"]:
        waves = fourier(at, seasonality["period"], seasonality["order"])
        total = total + waves @ np.asarray(seasonality["beta"], dtype=np.float64)
    return curve["y_scale"] * total


def bends(t: Floats, changepoints: Floats) -> Floats:
    """What a slope changed by one at each changepoint adds to the line: a last axis of these."""
    added: Floats = np.maximum(t[..., None] - changepoints, 0.0)
    return added


def fourier(seconds: Ints | Floats, period: float, order: int) -> Floats:
    """The waves that a seasonality is made of.

    Args:
        seconds: Any shape, seconds since 1970-01-01 UTC.
        period: Days.
        order: Number of harmonics.

    Returns:
        On a new last axis sin 1, cos 1, sin 2, cos 2, ...
    """
    angle = 2 * np.pi * (seconds / DAY_SECONDS)[..., None] * np.arange(1, order + 1) / period
    waves = np.empty((*angle.shape[:-1], 2 * order))
    waves[..., 0::2], waves[..., 1::2] = np.sin(angle), np.cos(angle)
    return waves
