"""The method: all series at once, Prophet for what is left over, each curve at its hours."""

import numpy as np
import pytest

from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods import prophet_curve
from aq_science.forecasting.methods.curves import curve_at
from aq_science.forecasting.methods.prophet_batch import fit_curves
from aq_science.forecasting.methods.prophet_curve import ProphetCurve
from aq_science.forecasting.methods.protocol import Failed
from tests.unit.science.forecasting.samples import air, history, learned_of, plain_curve


def test_many_curves_at_many_hours_are_each_alone() -> None:
    curves = [plain_curve(1, 0.5, 3), plain_curve(20, -0.1)]
    of = np.array([1, 0, 1, 0, 0])
    hours_asked = np.arange(10).reshape(2, 5) * 7
    values = ProphetCurve().at(curves, of, hours_asked)
    for i, j in np.ndindex(values.shape):
        alone = curve_at(curves[of[j]], hours_asked[i : i + 1, j] * 3600)
        np.testing.assert_allclose(values[i, j], alone[0], rtol=1e-12)


def test_only_what_is_left_over_is_prophets_and_a_broken_one_does_not_sink_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mean_of_two(seconds: Ints, values: Floats) -> object:
        if len(values) < 2:
            raise RuntimeError("too few")
        return {"seconds": seconds.tolist(), "mean": float(values.mean())}

    monkeypatch.setattr(prophet_curve, "fit_curve", mean_of_two)
    nan = np.nan
    long = air(99, 1)
    two, one = np.full(99, nan), np.full(99, nan)
    two[[0, 2]], one[1] = [1.0, 3.0], 5.0
    past = history(two, long, one, first=100)
    assert ProphetCurve().fit(past) == [
        {"seconds": [360_000, 367_200], "mean": 2.0},
        fit_curves(past.hours * 3600, past.values)[1],
        Failed("RuntimeError: too few"),
    ]


@pytest.mark.fit
def test_prophet_itself_fits_or_refuses_what_is_left_over() -> None:
    line, nothing = np.arange(300.0), np.full(300, np.nan)
    infinite = np.where(np.arange(300) == 7, np.inf, line)
    fitted, empty, beyond = ProphetCurve().fit(history(line, nothing, infinite))
    [curve] = learned_of([fitted])
    np.testing.assert_allclose(curve_at(curve, np.arange(300) * 3600), line, atol=0.1)
    assert empty == Failed("ValueError: Dataframe has less than 2 non-NaN rows.")
    assert beyond == Failed("ValueError: Found infinity in column y.")
