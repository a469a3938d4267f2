"""Trees over all stations: what they find, and what they do with odd series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import Floats, Grid
from aq_science.forecasting.methods import gradient_boosting
from aq_science.forecasting.methods.gradient_boosting import GradientBoosting
from aq_science.forecasting.methods.protocol import Learned
from tests.unit.science.forecasting.samples import history, learned_of

pytestmark = [pytest.mark.fit, pytest.mark.usefixtures("lightgbm")]

HOURS = 1200


def lead() -> Floats:
    """A walk that the second station follows an hour later, and a third of its own."""
    random = np.random.default_rng(7)
    first = 50 + np.cumsum(random.normal(size=HOURS))
    second = np.concatenate([[50.0], first[:-1]]) + random.normal(scale=0.1, size=HOURS)
    return np.stack([first, second, 80 + np.cumsum(random.normal(size=HOURS))])


@pytest.fixture(scope="module")
def network() -> History:
    return history(*lead())


@pytest.fixture(scope="module")
def learned(network: History) -> Learned:
    """From all but the last 200 hours."""
    return GradientBoosting().fit(network.between(0, HOURS - 200), 1)


def test_it_finds_the_neighbour_that_is_ahead(network: History, learned: Learned) -> None:
    state, actual = network.examples(1, {})
    held_out = slice(HOURS - 200, None)
    state, actual = state.take(held_out), actual[held_out]
    made = GradientBoosting().predict(learned, state)
    mae = np.abs(made.value - actual).mean(axis=0)
    persistence = np.abs(state.last - actual).mean(axis=0)
    assert mae[1] < 0.5 * persistence[1]
    assert (mae < 1.1 * persistence).all()
    assert (made.size > 0).all()


def test_the_same_readings_give_the_same_trees(network: History, learned: Learned) -> None:
    assert GradientBoosting().fit(network.between(0, HOURS - 200), 1) == learned


def test_rows_do_not_depend_on_each_other(network: History, learned: Learned) -> None:
    state, _ = network.examples(1, {})
    whole = GradientBoosting().predict(learned, state)
    alone = GradientBoosting().predict(learned, state.take(np.s_[500:501, 1:2]))
    assert whole.value[500, 1] == alone.value[0, 0]
    assert whole.size[500, 1] == alone.size[0, 0]


def test_too_few_hours_teach_nothing() -> None:
    assert GradientBoosting().fit(history(*lead()[:, :100]), 1) is None


def test_a_constant_network_does_not_move() -> None:
    zeros = history(np.zeros(400), np.zeros(400))
    learned = GradientBoosting().fit(zeros, 1)
    state, _ = zeros.examples(1, {})
    made = GradientBoosting().predict(learned, state)
    assert np.abs(made.value).max() < 1e-9


def test_one_station_is_a_network_too() -> None:
    alone = history(lead()[0])
    learned = GradientBoosting().fit(alone, 2)
    state, actual = alone.examples(2, {})
    made = GradientBoosting().predict(learned, state)
    assert np.isfinite(made.value).all()
    assert np.abs(made.value - actual).mean() < np.abs(state.last - actual).mean()


def test_a_station_that_came_later_is_forecast_as_well(network: History, learned: Learned) -> None:
    grid = Grid(0, {"s0": 0, "new": 1}, network.grid.values[:, [0, 2]])
    state, _ = History.of("pm25", {"pm25": grid}, ["new"]).examples(1, {})
    made = GradientBoosting().predict(learned, state)
    assert np.isfinite(made.value).all()
    usual = np.median(list(learned["scale"].values()))
    assert (np.abs(made.value - state.last) < 10 * usual).all()


def test_without_a_last_reading_there_is_no_forecast(network: History, learned: Learned) -> None:
    values = network.grid.values.copy()
    values[600, 1] = np.nan
    grid = replace(network.grid, values=values)
    state, _ = replace(network, grids={"pm25": grid}).examples(1, {})
    made = GradientBoosting().predict(learned, state)
    assert np.isnan(made.value[600, 1])
    assert np.isnan(made.size[600, 1])
    assert np.isfinite(np.delete(made.value, 600, axis=0)).all()


def test_many_examples_are_thinned_out_the_same_way(
    network: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_boosting, "MAX_EXAMPLES", 400)
    monkeypatch.setattr(gradient_boosting, "ROUNDS", 3)
    one, two = learned_of([GradientBoosting().fit(network, 1) for _ in range(2)])
    assert one == two
    assert "internal_count" in one["change"]


def test_long_states_are_worked_through_in_chunks(
    network: History, learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, _ = network.examples(1, {})
    whole = GradientBoosting().predict(learned, state)
    monkeypatch.setattr(gradient_boosting, "CHUNK", 1000)
    parts = GradientBoosting().predict(learned, state)
    np.testing.assert_array_equal(whole.value, parts.value)
