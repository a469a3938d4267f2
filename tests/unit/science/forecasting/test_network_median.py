"""The last resort: the median of the other stations' latest readings."""

import numpy as np
import pytest

from aq_science.forecasting.grid import Floats, Grid
from aq_science.forecasting.intervals import wide_quantiles
from aq_science.forecasting.methods.network_median import NetworkMedian

NAN = np.nan


def known(*latest: float, age: int = 1, hours: int = 60) -> Floats:
    """A column a station, read once, `age` hours before the issue time."""
    values = np.full((hours, len(latest)), NAN)
    values[hours - age] = latest
    return values


def spread(values: Floats, parameter: str = "pm25") -> tuple[float, float, dict[str, float]]:
    found = NetworkMedian().predict(parameter, Grid(0, {}, values))
    assert found is not None
    return found.value, found.scale, found.quantiles


def test_where_nothing_is_known_there_is_none() -> None:
    for values in (known(NAN, NAN), np.empty((0, 3)), np.empty((5, 0))):
        assert NetworkMedian().predict("pm25", Grid(0, {}, values)) is None


def test_the_newest_reading_of_each_station_counts() -> None:
    values = known(1.0, 2.0, 90.0)
    values[10] = 500.0
    values[-1, 2] = NAN
    values[-3, 2] = 3.0
    assert spread(values) == (2.0, 0.0, wide_quantiles())


def test_old_readings_count_only_where_none_is_younger() -> None:
    old = known(100.0, 200.0, age=30)
    assert spread(old)[0] == 150.0
    assert spread(np.hstack([old, known(7.0)]))[0] == 7.0


def test_the_spread_of_many_stations_is_the_interval() -> None:
    value, scale, quantiles = spread(known(*range(21)))
    assert (value, scale) == (10.0, 0.0)
    assert quantiles["q_lower_80"] * value == pytest.approx(2 - 10)
    assert quantiles["q_upper_95"] * value == pytest.approx(19.5 - 10)


def test_of_temperature_the_magnitude_stands_for_the_scale() -> None:
    assert spread(known(-6.0, -2.0), "temperature") == (-4.0, 4.0, wide_quantiles())
