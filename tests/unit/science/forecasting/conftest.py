"""Series and models that the tests share, fitted once a session."""

import numpy as np
import polars as pl
import pytest

from aq_science.forecasting.select import fit_models
from tests.unit.science.forecasting.samples import DAY, STATIONS, all_readings, keys


@pytest.fixture(scope="session")
def readings() -> pl.DataFrame:
    return all_readings()


@pytest.fixture(scope="session")
def models(readings: pl.DataFrame) -> pl.DataFrame:
    """Models of `STATIONS`."""
    return fit_models(readings, DAY, keys(*STATIONS))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
