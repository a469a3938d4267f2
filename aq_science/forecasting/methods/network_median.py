"""A station without any valid reading is forecast as the median of the others' latest."""

import numpy as np

from aq_science.forecasting.grid import Grid
from aq_science.forecasting.intervals import min_half_width, signed, wide_quantiles
from aq_science.forecasting.methods.protocol import Spread
from aq_science.tables.forecast_models import QUANTILES

MIN_STATIONS = 10
"""Stations from which the spread of their readings is taken as the interval; with fewer, the 80 %
range would be one or two stations' accident and the wide default stands in."""

MAX_AGE_HOURS = 24
"""Other stations' readings older than this count only where none is younger."""

SHARES = (0.025, 0.1, 0.9, 0.975)
"""Of the stations, below the ends of the 95 % and 80 % intervals, in the order of `QUANTILES`."""


class NetworkMedian:
    """Median and spread of the stations' latest readings."""

    name = "network_median"

    def predict(self, parameter: str, known: Grid) -> Spread | None:
        """One forecast for every station without a reading of its own; see `protocol.LastResort`.

        Args:
            parameter: Canonical name.
            known: What is known at the issue time, which follows the last row.

        Returns:
            Value and interval in the parameter's unit; None where nothing is known.
        """
        values = known.values
        index = np.where(np.isnan(values), -1, np.arange(len(values))[:, None]).max(
            axis=0, initial=-1
        )
        read = np.flatnonzero(index >= 0)
        if not len(read):
            return None
        young = read[index[read] >= len(values) - MAX_AGE_HOURS]
        used = young if len(young) else read
        latest = values[index[used], used]
        middle = float(np.median(latest))
        if len(latest) < MIN_STATIONS:
            # Temperature has no scale of its own here; for it the magnitude has to do.
            return Spread(middle, abs(middle) if signed(parameter) else 0.0, wide_quantiles())
        least = min_half_width(parameter)
        unit = least if signed(parameter) else max(middle, least)
        spread = (np.quantile(latest, SHARES) - middle) / unit
        return Spread(middle, 0.0, dict(zip(QUANTILES, spread.tolist(), strict=True)))
