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
from aq_science.forecasting.methods.curves import curve_at
from aq_science.forecasting.methods.prophet_stan import curve_of, fit_prophet

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


@pytest.mark.system
def test_prophet_is_not_imported_by_importing() -> None:
    code = (
        "import sys, aq_science.forecasting.select, aq_science.forecasting.predict;"
        "sys.exit(bool({'prophet', 'pandas', 'cmdstanpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
