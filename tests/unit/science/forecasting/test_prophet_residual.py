"""The curve plus the decayed residual."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.features import History, State
from aq_science.forecasting.grid import Floats
from aq_science.forecasting.methods.prophet_curve import ProphetCurve
from aq_science.forecasting.methods.prophet_residual import ProphetResidual
from tests.unit.science.forecasting.samples import history, learned_of


def examples(past: History, curve: Floats, lag: int) -> tuple[State, Floats]:
    return past.examples(lag, {ProphetCurve.name: curve})


def test_a_residual_that_halves_every_hour() -> None:
    curve = np.linspace(10, 20, 12)[:, None]
    past = history(curve[:, 0] + 8 * 0.5 ** np.arange(12))
    method = ProphetResidual()
    for lag, left in ((1, 0.5), (2, 0.25)):
        state, actual = examples(past, curve, lag)
        [learned] = learned_of(method.fit(state, actual))
        assert learned["rho"] == pytest.approx(left)
        predicted = method.predict([learned], np.array([0]), state)
        np.testing.assert_allclose(predicted, actual)


def test_nothing_left_of_a_residual_that_turns_and_all_of_one_that_grows() -> None:
    curve = np.zeros((6, 2))
    past = history([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    assert ProphetResidual().fit(*examples(past, curve, 1)) == [{"rho": 0.0}, {"rho": 1.0}]


def test_a_series_on_its_curve_learns_nothing_and_still_forecasts() -> None:
    curve = np.arange(6.0)[:, None]
    state, actual = examples(history(curve[:, 0]), curve, 1)
    learned = ProphetResidual().fit(state, actual)
    assert learned == [{"rho": 0.0}]
    np.testing.assert_array_equal(ProphetResidual().predict(learned, np.array([0]), state), actual)


@given(st.lists(st.floats(-1e3, 1e3) | st.just(np.nan), min_size=5, max_size=30), st.integers(1, 4))
def test_what_is_left_is_between_nothing_and_all(values: list[float], lag: int) -> None:
    state, actual = examples(history(values), np.ones((len(values), 1)), lag)
    [learned] = learned_of(ProphetResidual().fit(state, actual))
    assert 0 <= learned["rho"] <= 1
