"""What a network's model sees: nothing later than the last reading, nothing filled in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import Floats, Grid, Ints
from aq_science.forecasting.network_features import (
    Layout,
    distances,
    lead_correlation,
    nearest,
    network_features,
)

HOURS, STATIONS = 200, 4
FIRST = 400_000


def network(seed: int, missing: float = 0.1) -> History:
    """Four stations with PM2.5, two of them with temperature, and gaps in all."""
    random = np.random.default_rng(seed)
    values = np.cumsum(random.normal(size=(HOURS, STATIONS)), axis=0)
    values[random.random(values.shape) < missing] = np.nan
    warm = random.normal(size=(HOURS, 2))
    warm[random.random(warm.shape) < missing] = np.nan
    grids = {
        "pm25": Grid(FIRST, {f"s{n}": n for n in range(STATIONS)}, values),
        "temperature": Grid(FIRST, {"s3": 0, "s1": 1}, warm),
    }
    return History.of("pm25", grids, ["s0", "s1", "s2", "s3"])


def at(*place: int) -> Ints:
    return np.array(place, dtype=np.int64)


def named(history: History, place: int, column: int) -> dict[str, float]:
    layout = Layout.of(history)
    row = network_features(history, layout, at(place), at(column))[0]
    return dict(zip(layout.names(), row.tolist(), strict=True))


@given(st.integers(0, 20), st.integers(0, HOURS - 1), st.integers(0, STATIONS - 1))
def test_what_comes_after_the_last_reading_is_not_seen(seed: int, place: int, column: int) -> None:
    history = network(seed)
    layout = Layout.of(history)
    before = network_features(history, layout, at(place), at(column))
    for grid in history.grids.values():
        grid.values[place + 1 :] = 1e6
    after = network_features(history, layout, at(place), at(column))
    np.testing.assert_array_equal(before, after)


@given(st.integers(0, 20), st.integers(30, HOURS), st.integers(0, 29))
def test_rows_are_the_same_in_a_longer_or_shorter_window(seed: int, end: int, cut: int) -> None:
    history = network(seed)
    layout = Layout.of(history)
    place = np.arange(cut + 25, end, dtype=np.int64)
    column = place % STATIONS
    whole = network_features(history, layout, place, column)
    part = network_features(history.between(cut, end), layout, place - cut, column)
    np.testing.assert_array_equal(whole, part)


def test_features_by_name() -> None:
    history = network(1, missing=0.0)
    values, warm = history.grid.values, history.grids["temperature"].values
    found = named(history, 100, 1)
    assert found["last"] == pytest.approx(values[100, 1])
    assert found["step_3"] == pytest.approx(values[100, 1] - values[97, 1], abs=1e-5)
    assert found["mean_6"] == pytest.approx(values[95:101, 1].mean() - values[100, 1], abs=1e-5)
    assert found["highest_24"] == pytest.approx(values[77:101, 1].max() - values[100, 1], abs=1e-5)
    assert found["hour"] == (FIRST + 100) % 24
    assert found["station"] == 1
    others = values[100, [0, 2, 3]].mean()
    assert found["others"] == pytest.approx(others - values[100, 1], abs=1e-5)
    assert found["others_step_2"] == pytest.approx(others - values[98, [0, 2, 3]].mean(), abs=1e-5)
    near = Layout.of(history).neighbours[1][0]
    assert found["neighbour_0"] == pytest.approx(values[100, near] - values[100, 1], abs=1e-5)
    assert found["neighbour_0_step_2"] == pytest.approx(values[99, near] - values[98, near], 1e-4)
    assert found["temperature"] == pytest.approx(warm[100, 1])
    assert found["temperature_network"] == pytest.approx(warm[100].mean())


def test_what_was_not_read_is_missing() -> None:
    history = network(1, missing=0.0)
    history.grid.values[97, 1] = np.nan
    found = named(history, 100, 1)
    assert np.isnan(found["step_3"])
    assert not np.isnan(found["mean_6"])
    assert np.isnan(named(history, 100, 0)["temperature"])
    early = named(history, 0, 1)
    assert np.isnan(early["step_1"])
    assert np.isnan(early["temperature_network_step"])


def test_a_station_that_the_model_does_not_know_has_no_neighbours() -> None:
    history = network(1, missing=0.0)
    layout = Layout.of(history)
    grid = Grid(FIRST, {"new": 0, "s1": 1}, history.grid.values[:, :2])
    other = History.of("pm25", {"pm25": grid}, ["new", "s1"])
    new, known = network_features(other, layout, at(100, 100), at(0, 1))
    names = layout.names()
    assert np.isnan(new[names.index("station")])
    assert np.isnan(new[names.index("neighbour_0")])
    assert new[names.index("last")] == pytest.approx(grid.values[100, 0])
    assert known[names.index("station")] == 1
    # And a parameter that is no longer read is missing.
    assert np.isnan(known[names.index("temperature")])


def steps_correlation(values: Floats, own: int, ahead: int) -> float:
    step = np.diff(values, axis=0)
    low, high = np.nanquantile(step, 0.01, axis=0), np.nanquantile(step, 0.99, axis=0)
    step = np.clip(step, low, high)
    x, y = step[1:, own], step[:-1, ahead]
    both = ~np.isnan(x) & ~np.isnan(y)
    return float(np.corrcoef(x[both], y[both])[0, 1])


def test_likeness_is_the_correlation_with_the_hour_before() -> None:
    history = network(3)
    found = lead_correlation(history.grid.values)
    for own in range(STATIONS):
        for ahead in range(STATIONS):
            expected = steps_correlation(history.grid.values, own, ahead)
            assert found[own, ahead] == pytest.approx(expected, abs=1e-9)


def test_who_is_ahead_is_nearest() -> None:
    random = np.random.default_rng(5)
    leader = np.cumsum(random.normal(size=500))
    follower = np.concatenate([[0.0], leader[:-1]]) + random.normal(scale=0.1, size=500)
    apart = np.cumsum(random.normal(size=500))
    values = np.stack([apart, follower, leader], axis=1)
    order = nearest(values, distances([None] * 3))
    assert order[1].tolist() == [2, 0]


def test_a_station_without_variation_is_like_none() -> None:
    values = np.stack([np.zeros(300), np.cumsum(np.ones(300) * np.tile([1, -2], 150))], axis=1)
    assert lead_correlation(values)[0, 1] == -1
    assert nearest(values[:, :1], distances([None])).shape == (1, 0)


def test_where_too_little_is_known_to_tell_the_nearest_come_first() -> None:
    places = [(50.0, 4.0), (52.0, 4.0), None, (50.1, 4.0)]
    order = nearest(np.full((10, 4), np.nan), distances(places))
    assert order[0].tolist() == [3, 1, 2]
    assert distances([(0, 0), (0, 180)])[0, 1] == pytest.approx(2)
