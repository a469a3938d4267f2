"""The last reading plus a least-absolute regression on the curve, the residual and the neighbours.

Least absolute and not least squares, since the forecasts are judged by absolute error and the steps
of concentrations have heavy tails: measured on Beijing, squares cost 3 to 9 % of MAE.
"""

from collections.abc import Sequence

import numpy as np

from aq_science.forecasting.features import State
from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods.prophet_curve import ProphetCurve
from aq_science.forecasting.methods.protocol import Fitted, Learned, fit_each
from aq_science.forecasting.schema import LAGS

FEATURES = ("curve_step", "residual", "change", "others_excess", "others_change")
OWN_FEATURES = FEATURES[:3]
"""Those of a station that is alone in its network."""

MAX_LAG = 2
"""It serves the two horizons; late readings are the plain residual's case."""

MIN_EXAMPLES = 3 * 24
"""Three daily cycles, the least from which five weights are learned."""

LAD_ITERATIONS = 30
LAD_SMOOTHING = 0.01
LAD_RIDGE = 1e-3
"""Iteratively reweighted least squares: thirty rounds settle the third digit; errors under 1 % of
the median step count as equal (no division by zero); a ridge of 0.1 % for collinear features."""


class ProphetRegression:
    """The last reading plus a weighted sum of `FEATURES`; learns the weights by name."""

    name = "prophet_regression"
    lags: tuple[int, ...] = tuple(lag for lag in LAGS if lag <= MAX_LAG)
    plain = False

    def fit(self, state: State, actual: Floats) -> Sequence[Fitted]:
        """Weights of each series, without the neighbours' where there are too few hours of both."""
        inputs, step = features(state), actual - state.last

        def weights(series: int) -> Learned | None:
            y, x = step[:, series], inputs[:, series]
            for names in (FEATURES, OWN_FEATURES):
                complete = np.isfinite(x[:, : len(names)]).all(axis=1) & np.isfinite(y)
                if complete.sum() >= MIN_EXAMPLES:
                    learned = least_absolute(x[complete][:, : len(names)], y[complete])
                    return dict(zip(names, learned.tolist(), strict=True))
            return None

        return fit_each(actual.shape[1], weights)

    def predict(self, learned: Sequence[Learned], of: Ints, state: State) -> Floats:
        """The last reading and the step from it; see `protocol.Method`.

        Args:
            learned: Dictionaries of weights by feature.
            of: For each row or series the number of its dictionary.
            state: What is known, with the curve.

        Returns:
            Values in the parameter's unit, shaped as the state.
        """
        return state.last + _step(features(state), learned, of)


def features(state: State) -> Floats:
    """The regression's inputs, shaped as the state with `FEATURES` as a last axis."""
    curve = state.seasonal[ProphetCurve.name]
    return np.stack(
        [
            curve.target - curve.last,
            state.last - curve.last,
            state.last - state.previous,
            state.others - state.last,
            state.others - state.others_previous,
        ],
        axis=-1,
    )


def _step(inputs: Floats, learned: Sequence[Learned], of: Ints) -> Floats:
    """The weighted sum; a feature that the fit did without may be missing now as well."""
    if inputs.ndim == 3:
        # Many hours of each series: a matrix product. It differs from the sum below in the last bit
        # (it rounds once where the sum rounds twice), and stored scores keep theirs.
        return np.stack(
            [
                np.ascontiguousarray(inputs[:, series])[:, : len(learned[entry])]
                @ np.array(list(learned[entry].values()))
                for series, entry in enumerate(of)
            ],
            axis=-1,
        )
    weights = np.array([[entry.get(name, np.nan) for name in FEATURES] for entry in learned])[of]
    terms = np.where(np.isnan(weights), 0.0, weights * inputs)
    step: Floats = sum((terms[..., i] for i in range(1, len(FEATURES))), terms[..., 0])
    return step


def least_absolute(x: Floats, y: Floats) -> Floats:
    """Coefficients b that make the sum of |y - x b| small, by iteratively reweighted least squares.

    `x`: examples x features; `y`: as many values. No NaN in either.
    """
    spread = x.std(axis=0)
    spread[spread == 0] = 1.0
    z = x / spread
    smallest = LAD_SMOOTHING * float(np.median(np.abs(y))) + 1e-9
    weights = np.ones(len(y))
    b = np.zeros(x.shape[1])
    for _ in range(LAD_ITERATIONS):
        weighted = z.T * weights
        gram = weighted @ z
        ridge = LAD_RIDGE * np.trace(gram) / len(b) + 1e-12
        b = np.linalg.solve(gram + ridge * np.eye(len(b)), weighted @ y)
        weights = 1 / np.maximum(np.abs(y - z @ b), smallest)
    coefficients: Floats = b / spread
    return coefficients
