"""State and history: what is known, and nothing from later."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import Grid
from tests.unit.science.forecasting.samples import history

COLUMN = st.lists(st.floats(-9, 9) | st.just(np.nan), min_size=12, max_size=12)


@given(COLUMN, COLUMN, st.integers(1, 6), st.integers(1, 11))
def test_no_example_sees_the_hours_after_the_one_it_starts_from(
    one: list[float], two: list[float], lag: int, cut: int
) -> None:
    changed = [[*column[:cut], *(v + 100 for v in column[cut:])] for column in (one, two)]
    states = [history(*columns).examples(lag, {})[0] for columns in ((one, two), changed)]
    before = states[0].known <= cut
    for name in ("last", "previous", "others", "others_previous"):
        seen = [getattr(state, name)[before] for state in states]
        np.testing.assert_array_equal(*seen)


def test_an_example_leads_from_an_hour_to_the_one_a_lag_later() -> None:
    past = history([1.0, 2.0, 3.0, 4.0], first=70)
    state, actual = past.examples(3, {})
    assert (state.last.tolist(), actual.tolist()) == ([[1.0]], [[4.0]])
    assert (state.target.tolist(), state.known.tolist()) == ([[73]], [[1]])


def test_a_history_shorter_than_the_lag_has_no_example() -> None:
    state, actual = history([1.0, 2.0]).examples(8, {})
    assert state.last.shape == actual.shape == (0, 1)


def test_some_series_over_some_hours() -> None:
    grids = {
        "pm25": Grid(5, {"a": 0, "b": 1}, np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])),
        "humidity": Grid(5, {"a": 0}, np.array([[50.0], [60.0], [70.0]])),
    }
    past = History.of("pm25", grids, ["b", "a"]).only([0]).between(1, 3)
    assert past.values.tolist() == [[4.0], [6.0]]
    assert past.hours.tolist() == [6, 7]
    assert past.grids["humidity"].values.tolist() == [[60.0], [70.0]]
