"""The stored curve is Prophet's curve, and fitting leaves nothing behind."""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods import prophet_curve
from aq_science.forecasting.methods.prophet_curve import (
    ProphetCurve,
    curve_at,
    curve_of,
    fit_prophet,
)
from aq_science.forecasting.methods.protocol import Failed
from tests.unit.science.forecasting.samples import history, plain_curve

START = 1_704_067_200  # 2024-01-01T00:00Z


def hours(days: float, keep: float = 1.0, seed: int = 0) -> Ints:
    at = np.arange(int(days * 24), dtype=np.int64) * 3600 + START
    return at[np.random.default_rng(seed).random(len(at)) < keep]


def readings(at: Ints, seed: int = 0) -> Floats:
    noise = np.random.default_rng(seed).normal(size=len(at))
    values: Floats = 40 + 12 * np.sin(at / 86400 * 2 * np.pi) + np.cumsum(noise)
    return values


def predicted(model: Any, at: Ints) -> Floats:
    import pandas as pd

    with warnings.catch_warnings():  # as in fit_prophet
        warnings.filterwarnings("ignore", "The inplace keyword in DataFrame", DeprecationWarning)
        frame = model.predict(pd.DataFrame({"ds": pd.to_datetime(at, unit="s")}))
    yhat: Floats = frame["yhat"].to_numpy()
    return yhat


@pytest.fixture(scope="module")
def ten_days() -> Any:
    """Prophet's own fit of ten days."""
    return fit_prophet(hours(10), readings(hours(10)))


@pytest.mark.fit
@pytest.mark.parametrize(
    ("days", "keep", "scale", "weekly"),
    [
        (56, 1.0, 1.0, True),
        (28, 0.7, 1e3, True),
        (15, 0.3, 1e-3, True),
        (10, 1.0, 1.0, False),
        (4, 0.5, 1.0, False),  # so few readings that Stan uses Newton
    ],
)
def test_equal_to_prophets_own_prediction(
    days: float, keep: float, scale: float, weekly: bool, ten_days: Any
) -> None:
    at = hours(days, keep)
    model = ten_days if days == 10 else fit_prophet(at, scale * readings(at))
    curve = json.loads(json.dumps(curve_of(model)))
    assert any(s["name"] == "weekly" for s in curve["seasonalities"]) == weekly
    asked = np.arange(at[0] - 86400, at[-1] + 10 * 86400, 3600)
    np.testing.assert_allclose(curve_at(curve, asked), predicted(model, asked), rtol=1e-8)
    assert len(json.dumps(curve)) < 4000, "parameters only, no training history"


@pytest.mark.fit
def test_equal_for_constant_readings() -> None:
    at = hours(10)
    model = fit_prophet(at, np.full(len(at), 7.5))
    np.testing.assert_allclose(curve_at(curve_of(model), at), predicted(model, at), rtol=1e-8)


@pytest.mark.fit
def test_same_readings_give_the_same_curve(ten_days: Any) -> None:
    at = hours(10)
    assert curve_of(ten_days) == curve_of(fit_prophet(at, readings(at)))


def test_any_shape() -> None:
    at = hours(10)
    curve = plain_curve(40, 0.1, 12)
    grid = at[:48].reshape(2, 24)
    np.testing.assert_array_equal(curve_at(curve, grid).ravel(), curve_at(curve, at[:48]))


@pytest.mark.fit
@pytest.mark.usefixtures("ten_days")
def test_fitting_is_silent_and_leaves_no_temporary_file(capfd: pytest.CaptureFixture[str]) -> None:
    at = hours(10)

    import cmdstanpy

    def left() -> set[str]:
        scratch = {str(p) for p in Path(tempfile.gettempdir()).glob("aq-prophet-*")}
        return scratch | {str(p) for p in Path(cmdstanpy._TMPDIR).rglob("*")}

    capfd.readouterr()
    before = left()
    for _ in range(3):
        fit_prophet(at, readings(at))
    assert left() <= before
    assert capfd.readouterr() == ("", "")


def test_a_curve_is_the_line_and_the_seasons_it_says() -> None:
    at = np.array([[0, 6], [12, 18]]) * 3600
    np.testing.assert_allclose(
        curve_at(plain_curve(3, 0.5, 2), at), [[3, 3 + 3 + 2], [3 + 6, 3 + 9 - 2]], atol=1e-12
    )
    bent = plain_curve(1, 1) | {"delta": [-1.0, 4.0], "changepoints": [2.0, 3.0], "y_scale": 10.0}
    values = curve_at(bent, np.arange(5) * 3600)
    np.testing.assert_allclose(values, [10, 20, 30, 30, 70], atol=1e-9)


def test_many_curves_at_many_hours_are_each_alone() -> None:
    curves = [plain_curve(1, 0.5, 3), plain_curve(20, -0.1)]
    of = np.array([1, 0, 1, 0, 0])
    hours_asked = np.arange(10).reshape(2, 5) * 7
    values = ProphetCurve().at(curves, of, hours_asked)
    for i, j in np.ndindex(values.shape):
        alone = curve_at(curves[of[j]], hours_asked[i : i + 1, j] * 3600)
        np.testing.assert_allclose(values[i, j], alone[0], rtol=1e-12)


def test_a_fit_takes_each_series_readings_and_a_broken_one_does_not_sink_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mean_of_two(seconds: Ints, values: Floats) -> object:
        if len(values) < 2:
            raise RuntimeError("too few")
        return {"seconds": seconds.tolist(), "mean": float(values.mean())}

    monkeypatch.setattr(prophet_curve, "fit_curve", mean_of_two)
    nan = np.nan
    fitted = ProphetCurve().fit(history([1.0, nan, 3.0], [nan, 5.0, nan], first=100))
    assert fitted == [
        {"seconds": [360_000, 367_200], "mean": 2.0},
        Failed("RuntimeError: too few"),
    ]


@pytest.mark.system
def test_prophet_is_not_imported_by_importing() -> None:
    code = (
        "import sys, aq_science.forecasting.select, aq_science.forecasting.predict;"
        "sys.exit(bool({'prophet', 'pandas', 'cmdstanpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
