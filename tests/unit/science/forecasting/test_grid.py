"""The grid, and the median of the other stations on it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.grid import Grid, grids, median_of_others, series_keys, usable
from tests.unit.science.forecasting.samples import MIDNIGHT, frame, keys

END = int(MIDNIGHT.timestamp()) // 3600


@given(st.lists(st.lists(st.one_of(st.floats(-9, 9), st.just(np.nan)), min_size=4, max_size=4)))
def test_median_of_others_is_the_plain_one(rows: list[list[float]]) -> None:
    table = np.array(rows).reshape(-1, 4)
    result = median_of_others(table)
    for i, j in np.ndindex(table.shape):
        others = np.delete(table[i], j)
        there = others[~np.isnan(others)]
        expected = np.median(there) if len(there) else np.nan
        np.testing.assert_allclose(result[i, j], expected)


@given(
    st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=6, max_size=6),
    st.lists(st.integers(0, 5), max_size=4),
    st.lists(st.integers(0, 5), max_size=4),
)
def test_medians_asked_for_in_parts_are_those_of_the_whole(
    values: list[list[float]], first: list[int], then: list[int]
) -> None:
    table = np.array(values)
    grid = Grid(0, {"a": 0, "b": 1, "c": 2}, table)
    for rows in (np.array(first, dtype=np.int64), np.array(then, dtype=np.int64)):
        np.testing.assert_array_equal(grid.others(rows)[rows], median_of_others(table)[rows])


def test_every_parameter_has_a_grid_over_the_same_hours() -> None:
    readings = usable(frame("a", [1.0, 2.0], parameter="co"), END - 9, END)
    made = grids(readings, series_keys(keys("b")), END - 3, END)
    assert {name: list(grid.stations) for name, grid in made.items()} == {
        "pm25": ["b"],
        "co": ["a"],
    }
    np.testing.assert_array_equal(made["co"].values[:, 0], [np.nan, 1.0, 2.0])
    assert made["pm25"].values.shape == (3, 1)
