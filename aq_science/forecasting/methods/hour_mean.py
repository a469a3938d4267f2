"""The mean of the hour of the day, in UTC."""

from collections.abc import Sequence

import numpy as np

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods.protocol import Fitted, Learned, fit_each


class HourMean:
    """Means of the training readings by hour of the day."""

    name = "hour_of_day_mean"
    plain = True
    reach: int | None = None

    def fit(self, history: History) -> Sequence[Fitted]:
        """24 means a series, from midnight UTC on; a series needs one reading at least."""
        first = history.grid.first
        return fit_each(
            history.values.shape[1], lambda j: hour_means(history.values[:, j], first).tolist()
        )

    def at(self, learned: Sequence[Learned], of: Ints, hours: Ints) -> Floats:
        """The mean of each hour's hour of the day; see `protocol.Seasonal`.

        Args:
            learned: Lists of 24 means.
            of: For each place on the last axis of `hours` the number of its list.
            hours: Epoch hours, any shape.

        Returns:
            Values in the parameter's unit, shaped as `hours`.
        """
        means: Floats = np.array(learned, dtype=np.float64)[of, hours % 24]
        return means


def hour_means(values: Floats, first: int) -> Floats:
    """Mean by UTC hour of the day of hourly values from epoch hour `first`, NaN where absent.

    24 values; an hour never read has the mean of all.
    """
    there = np.flatnonzero(~np.isnan(values))
    hour = (first + there) % 24
    count = np.bincount(hour, minlength=24)
    total = np.bincount(hour, weights=values[there], minlength=24)
    means: Floats = np.where(count > 0, total / np.maximum(count, 1), values[there].mean())
    return means
