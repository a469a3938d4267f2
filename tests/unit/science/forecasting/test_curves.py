"""A curve is the line, the bends and the seasons that its numbers say."""

import numpy as np
import pytest

from aq_science.forecasting.methods.curves import bends, curve_at, fourier
from tests.unit.science.forecasting.samples import plain_curve


def test_a_curve_is_the_line_and_the_seasons_it_says() -> None:
    at = np.array([[0, 6], [12, 18]]) * 3600
    np.testing.assert_allclose(
        curve_at(plain_curve(3, 0.5, 2), at), [[3, 3 + 3 + 2], [3 + 6, 3 + 9 - 2]], atol=1e-12
    )
    bent = plain_curve(1, 1) | {"delta": [-1.0, 4.0], "changepoints": [2.0, 3.0], "y_scale": 10.0}
    values = curve_at(bent, np.arange(5) * 3600)
    np.testing.assert_allclose(values, [10, 20, 30, 30, 70], atol=1e-9)


def test_any_shape() -> None:
    at = np.arange(48, dtype=np.int64) * 3600
    curve = plain_curve(40, 0.1, 12)
    grid = at.reshape(2, 24)
    np.testing.assert_array_equal(curve_at(curve, grid).ravel(), curve_at(curve, at))


def test_a_bend_adds_nothing_before_its_changepoint() -> None:
    assert bends(np.array([0.0, 2.0, 5.0]), np.array([1.0, 2.0])).tolist() == [
        [0, 0],
        [1, 0],
        [4, 3],
    ]


def test_sine_and_cosine_of_each_harmonic_in_turn() -> None:
    quarter = np.array([0, 6]) * 3600
    np.testing.assert_allclose(fourier(quarter, 1.0, 2), [[0, 1, 0, 1], [1, 0, 0, -1]], atol=1e-15)
    assert fourier(quarter, 7.0, 1)[1, 0] == pytest.approx(np.sin(2 * np.pi * 0.25 / 7))
