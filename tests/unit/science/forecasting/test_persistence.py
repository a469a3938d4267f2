"""Persistence: the last reading."""

import numpy as np

from aq_science.forecasting.methods.persistence import MAX_LAG, Persistence
from tests.unit.science.forecasting.samples import history


def test_the_last_reading_is_forecast_whatever_the_lag() -> None:
    state, actual = history([1.0, 2.0, np.nan, 4.0, 5.0]).examples(2, {})
    method = Persistence()
    learned = method.fit(state, actual)
    assert learned == [{}]
    predicted = method.predict(learned, np.array([0]), state)
    np.testing.assert_array_equal(predicted[:, 0], [1.0, 2.0, np.nan])
    np.testing.assert_array_equal(actual[:, 0], [np.nan, 4.0, 5.0])


def test_it_reaches_a_third_of_a_day() -> None:
    assert max(Persistence.lags) == MAX_LAG == 8
