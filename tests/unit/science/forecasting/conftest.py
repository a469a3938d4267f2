"""Series and models that the tests share; Prophet fits once a session."""

import numpy as np
import polars as pl
import pytest

from aq_science.forecasting.methods import prophet_curve
from aq_science.forecasting.select import fit_models
from tests.unit.science.forecasting.samples import (
    DAY,
    STATIONS,
    all_readings,
    keys,
    least_squares_curve,
)


@pytest.fixture(scope="session")
def readings() -> pl.DataFrame:
    return all_readings()


@pytest.fixture
def without_prophet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves come from a quick fit of the same form."""
    monkeypatch.setattr(prophet_curve, "fit_curve", least_squares_curve)


@pytest.fixture(scope="session")
def models(readings: pl.DataFrame) -> pl.DataFrame:
    """Models of `STATIONS` with curves of the same form as Prophet's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prophet_curve, "fit_curve", least_squares_curve)
        return fit_models(readings, DAY, keys(*STATIONS))


@pytest.fixture(scope="session")
def prophet_models(readings: pl.DataFrame) -> pl.DataFrame:
    """Models with Prophet's own curves: the one fit of the session."""
    return fit_models(readings, DAY, keys("a", "b", "c"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
