"""The Prophet curve plus what is left of the last reading's distance from it."""

from collections.abc import Sequence

import numpy as np

from aq_science.forecasting.features import State
from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods.prophet_curve import ProphetCurve
from aq_science.forecasting.methods.protocol import Fitted, Learned, fit_each
from aq_science.forecasting.schema import LAGS


class ProphetResidual:
    """Curve plus the decayed last residual; learns the share of it that is left, `rho`."""

    name = "prophet_residual"
    lags: tuple[int, ...] = LAGS
    plain = False

    def fit(self, state: State, actual: Floats) -> Sequence[Fitted]:
        """`rho` by least squares of the residual on the earlier one, between 0 and 1."""
        curve = state.seasonal[ProphetCurve.name]
        residual, later = state.last - curve.last, actual - curve.target

        def rho(series: int) -> Learned:
            before, after = residual[:, series], later[:, series]
            both = ~np.isnan(before) & ~np.isnan(after)
            before, after = before[both], after[both]
            power = float(before @ before)
            share = float(np.clip(before @ after / power, 0, 1)) if power > 0 else 0.0
            return {"rho": share}

        return fit_each(actual.shape[1], rho)

    def predict(self, learned: Sequence[Learned], of: Ints, state: State) -> Floats:
        """The curve at the predicted hour, moved by the residual; see `protocol.Method`.

        Args:
            learned: Dictionaries with `rho`.
            of: For each row or series the number of its dictionary.
            state: What is known, with the curve.

        Returns:
            Values in the parameter's unit, shaped as the state.
        """
        curve = state.seasonal[ProphetCurve.name]
        rho = np.array([entry["rho"] for entry in learned], dtype=np.float64)[of]
        value: Floats = curve.target + rho * (state.last - curve.last)
        return value
