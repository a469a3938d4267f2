"""A method that does not exist: the reading of the same hour a day before the last one's."""

from collections.abc import Sequence

import numpy as np

from aq_science.forecasting.features import State
from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods.protocol import Learned


class DayBefore:
    """The last reading plus a learned share of the step of the day before."""

    name = "day_before"
    lags = (1, 2)
    plain = False

    def fit(self, state: State, actual: Floats) -> Sequence[Learned]:
        """The median ratio of the steps."""
        ratio = (actual - state.last) / self._step(state)
        finite = np.where(np.isfinite(ratio), ratio, np.nan)
        return [{"share": float(share)} for share in np.nanmedian(finite, axis=0)]

    def predict(self, learned: Sequence[Learned], of: Ints, state: State) -> Floats:
        """The last reading plus the step of the day before, as large as it was learned to be."""
        share = np.array([entry["share"] for entry in learned])[of]
        predicted: Floats = state.last + share * self._step(state)
        return predicted

    def _step(self, state: State) -> Floats:
        grid = state.history.grid

        def at(row: Ints) -> Floats:
            known = (row >= 0) & (row < state.known)
            return np.where(known, grid.values[np.maximum(row, 0), state.column], np.nan)

        step: Floats = at(state.target - grid.first - 24) - at(state.place - 24)
        return step
