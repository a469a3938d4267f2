"""The least-absolute regression, and that fitting and serving are one formula."""

import numpy as np
import pytest

from aq_science.forecasting.features import State
from aq_science.forecasting.grid import Floats
from aq_science.forecasting.methods.prophet_curve import ProphetCurve
from aq_science.forecasting.methods.prophet_regression import (
    FEATURES,
    MIN_EXAMPLES,
    OWN_FEATURES,
    ProphetRegression,
    features,
    least_absolute,
)
from tests.unit.science.forecasting.samples import history, learned_of

HOURS = 200


def examples(rng: np.random.Generator, stations: int, lag: int = 1) -> tuple[State, Floats]:
    values = rng.normal(50, 10, size=(HOURS, stations))
    curve = 50 + 5 * np.sin(np.arange(HOURS) / 24 * 2 * np.pi)
    past = history(*values.T)
    return past.examples(lag, {ProphetCurve.name: np.repeat(curve[:, None], stations, axis=1)})


def test_least_absolute_is_not_moved_by_outliers(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 2))
    y = x @ np.array([2.0, -3.0])
    y[::10] += 1e4
    np.testing.assert_allclose(least_absolute(x, y), [2, -3], atol=0.05)


def test_features_are_those_known_an_hour_before() -> None:
    past = history([1.0, 3.0, 6.0, 10.0], [2.0, 2.0, 8.0, 8.0], [4.0, 6.0, 2.0, 0.0])
    curve = np.array([0.0, 1.0, 5.0, 7.0])
    state, _ = past.examples(1, {ProphetCurve.name: np.repeat(curve[:, None], 3, axis=1)})
    made = dict(zip(FEATURES, features(state)[2, 0], strict=True))
    assert made == {
        "curve_step": 7 - 5,
        "residual": 6 - 5,
        "change": 6 - 3,
        "others_excess": (8 + 2) / 2 - 6,
        "others_change": (8 + 2) / 2 - (2 + 6) / 2,
    }
    assert np.isnan(features(state)[0, 0, 2]), "nothing is known of the hour before the first"


def test_alone_in_the_network_it_learns_without_the_neighbours(rng: np.random.Generator) -> None:
    [alone] = learned_of(ProphetRegression().fit(*examples(rng, 1)))
    assert tuple(alone) == OWN_FEATURES
    for learned in learned_of(ProphetRegression().fit(*examples(rng, 3))):
        assert tuple(learned) == FEATURES


def test_too_few_hours_teach_nothing(rng: np.random.Generator) -> None:
    state, actual = examples(rng, 1)
    few = np.s_[: MIN_EXAMPLES + 1]  # the first has no hour before it
    [learned] = ProphetRegression().fit(state.take(few), actual[few])
    assert learned is not None
    less = np.s_[:MIN_EXAMPLES]
    assert ProphetRegression().fit(state.take(less), actual[less]) == [None]


@pytest.mark.parametrize("stations", [1, 3])
def test_in_fitting_and_serving_the_formula_is_the_same(
    rng: np.random.Generator, stations: int
) -> None:
    """Two orders of adding up: they differ by rounding alone."""
    state, actual = examples(rng, stations)
    method = ProphetRegression()
    learned = method.fit(state, actual)
    of = np.arange(stations)
    table = method.predict(learned, of, state)
    index = np.nonzero(np.ones(table.shape, dtype=bool))
    rows = method.predict(learned, of[index[1]], state.take(index))
    np.testing.assert_allclose(rows, table[index], rtol=1e-13)
    assert np.isfinite(rows).sum() == stations * (HOURS - 2)
