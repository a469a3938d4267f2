"""The Prophet curve as Prophet itself fits it, in 0.1 s: for what `prophet_batch` leaves over."""

import logging
import tempfile
import warnings
from typing import Any

import numpy as np

from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods.curves import Curve, Seasonality
from aq_science.forecasting.methods.prophet_batch import WEEKLY_MIN_SECONDS

FIT_SEED = 20_240_101
"""Any fixed number will do: the optimiser's seed, so that the same readings give the same curve."""


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
    weekly = len(seconds) > 0 and int(seconds[-1] - seconds[0]) >= WEEKLY_MIN_SECONDS
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
