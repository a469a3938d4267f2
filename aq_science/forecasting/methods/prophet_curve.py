"""The Prophet curve, as plain data: fitted once a day by `fit_curve`, evaluated by `curve_at`.

Prophet is needed for fitting alone. What it finds is a piecewise linear trend plus Fourier series,
some sixty numbers, kept here as a JSON-able dictionary: no pickle, no training history, and no
import of prophet (2 to 4 seconds) where a forecast is made.

Source: Taylor and Letham (2018), "Forecasting at scale"; formulas as in prophet 1.5,
`forecaster.py` (`piecewise_linear`, `fourier_series`, `predict`).
"""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import HOUR_SECONDS, Floats, Ints
from aq_science.forecasting.methods.protocol import Fitted, Learned, fit_each

DAY_SECONDS = 24 * HOUR_SECONDS
WEEKLY_MIN_HOURS = 14 * 24
"""Two whole weeks: with less, a weekly pattern is one week's weather learned by heart."""

FIT_SEED = 20_240_101
"""Any fixed number will do: the optimiser's seed, so that the same readings give the same curve."""

REACH_HOURS = 8 * 24
"""How far past its last training reading a curve counts. A day's model may be used for a week if
nightly fits fail; farther out the extrapolated trend, not the season, decides the value."""


class ProphetCurve:
    """Trend, day and week of a series. Alone it is several times worse than persistence at one and
    two hours, since it has no autoregressive term (prophet#1622).
    """

    name = "prophet_curve"
    plain = False
    reach: int | None = REACH_HOURS

    def fit(self, history: History) -> Sequence[Fitted]:
        """A `Curve` for each series, in 0.1 s each."""
        seconds = history.hours * HOUR_SECONDS

        def curve(series: int) -> Learned:
            values = history.values[:, series]
            there = ~np.isnan(values)
            return fit_curve(seconds[there], values[there])

        return fit_each(history.values.shape[1], curve)

    def at(self, learned: Sequence[Learned], of: Ints, hours: Ints) -> Floats:
        """The curves' values; see `protocol.Seasonal`.

        Args:
            learned: Curves.
            of: For each place on the last axis of `hours` the number of its curve.
            hours: Epoch hours, any shape.

        Returns:
            Values in the parameter's unit, shaped as `hours`.
        """
        values = np.full(hours.shape, np.nan)
        order = np.argsort(of, kind="stable")
        used, starts = np.unique(of[order], return_index=True)
        for number, places in zip(used, np.split(order, starts[1:]), strict=True):
            values[..., places] = curve_at(learned[number], hours[..., places] * HOUR_SECONDS)
        return values


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
    # Every changepoint passed bends the line from there on: delta * (t - changepoint), if positive.
    bends = np.maximum(t[..., None] - changepoints, 0.0) @ delta
    total: Floats = curve["m"] + curve["k"] * t + bends
    days = at / DAY_SECONDS
    for seasonality in curve["seasonalities"]:
        harmonics = np.arange(1, seasonality["order"] + 1)
        angle = 2 * np.pi * days[..., None] * harmonics / seasonality["period"]
        beta = np.asarray(seasonality["beta"], dtype=np.float64)
        total = total + np.sin(angle) @ beta[0::2] + np.cos(angle) @ beta[1::2]
    return curve["y_scale"] * total


def fit_curve(seconds: Ints, values: Floats) -> Curve:
    """Fit Prophet (trend, daily and, from two weeks on, weekly seasonality) to one series.

    `seconds`: starts of the hours, seconds since 1970-01-01 UTC, ascending, gaps allowed; `values`:
    same length, no NaN. Takes about 0.1 s for four weeks of hours. Raises whatever Prophet raises.
    """
    return curve_of(fit_prophet(seconds, values))


def fit_prophet(
    seconds: Ints, values: Floats
) -> Any:  # prophet.Prophet, which must not be imported at module level
    """Fit and return the Prophet object; see `fit_curve`. Leaves no temporary file behind."""
    # prophet.plot reports at import, as an error, that plotly is absent. Nothing here draws.
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
    import cmdstanpy
    import pandas as pd
    from prophet import Prophet

    # Its INFO line about more changepoints than observations says nothing for short fits.
    logging.getLogger("prophet").setLevel(logging.WARNING)
    weekly = len(seconds) > 0 and int(seconds[-1] - seconds[0]) >= WEEKLY_MIN_HOURS * HOUR_SECONDS
    model = Prophet(
        daily_seasonality=True,
        weekly_seasonality=weekly,
        yearly_seasonality=False,  # weeks of readings hold no year
        uncertainty_samples=0,  # intervals come from hold-out errors, not from simulated trends
    )
    frame = pd.DataFrame({"ds": pd.to_datetime(seconds, unit="s"), "y": values})
    with (
        # The optimiser's files go where they are surely removed, also when a fit fails halfway;
        # Prophet's own cleanup() leaves an empty directory a fit behind (prophet#2253).
        tempfile.TemporaryDirectory(prefix="aq-prophet-") as scratch,
        cmdstanpy.disable_logging(),  # two INFO lines a fit
        warnings.catch_warnings(),
    ):
        # prophet 1.5 calls DataFrame.drop(inplace=True), which pandas 3.1 deprecates.
        warnings.filterwarnings("ignore", "The inplace keyword in DataFrame", DeprecationWarning)
        model.fit(frame, seed=FIT_SEED, output_dir=scratch)
    return model


def curve_of(model: Any) -> Curve:
    """A fitted Prophet object (linear growth, additive seasonalities) as a `Curve`."""
    beta = np.asarray(model.params["beta"], dtype=np.float64).reshape(-1)
    seasonalities: list[Seasonality] = []
    used = 0
    for name, properties in model.seasonalities.items():
        order = int(properties["fourier_order"])
        seasonalities.append(
            Seasonality(
                name=str(name),
                period=float(properties["period"]),
                order=order,
                beta=beta[used : used + 2 * order].tolist(),
            )
        )
        used += 2 * order
    return Curve(
        start=int(model.start.timestamp()),  # a naive pandas Timestamp counts as UTC
        t_scale=float(model.t_scale.total_seconds()),
        y_scale=float(model.y_scale),
        k=float(np.asarray(model.params["k"]).item()),
        m=float(np.asarray(model.params["m"]).item()),
        delta=np.asarray(model.params["delta"], dtype=np.float64).reshape(-1).tolist(),
        changepoints=np.asarray(model.changepoints_t, dtype=np.float64).reshape(-1).tolist(),
        seasonalities=seasonalities,
    )
