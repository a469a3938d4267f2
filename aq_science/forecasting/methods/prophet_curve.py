"""The Prophet curve as a method: fitted once a day, evaluated wherever a forecast needs it."""

from collections.abc import Sequence

import numpy as np

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import HOUR_SECONDS, Floats, Ints
from aq_science.forecasting.methods.curves import curve_at
from aq_science.forecasting.methods.prophet_batch import fit_curves
from aq_science.forecasting.methods.prophet_stan import fit_curve
from aq_science.forecasting.methods.protocol import Fitted, Learned, fit_each

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
        """A `Curve` for each series: all in one go, and Prophet itself for what is left over."""
        seconds = history.hours * HOUR_SECONDS
        curves = fit_curves(seconds, history.values)

        def curve(series: int) -> Learned:
            values = history.values[:, series]
            there = ~np.isnan(values)
            return curves[series] or fit_curve(seconds[there], values[there])

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
