"""The mean of the hour of the day."""

import numpy as np

from aq_science.forecasting.methods.hour_mean import HourMean
from tests.unit.science.forecasting.samples import history, learned_of

NAN = np.nan


def test_means_by_hour_and_of_all_for_an_hour_never_read() -> None:
    days = np.full(48, NAN)
    days[[0, 24]] = 10.0, 20.0
    days[5] = 60.0
    [means] = learned_of(HourMean().fit(history(days, first=48)))
    assert means[0] == 15.0
    assert means[5] == 60.0
    assert set(means[1:5] + means[6:]) == {30.0}


def test_the_first_hour_of_the_history_counts_by_its_own_hour_of_the_day() -> None:
    [means] = learned_of(HourMean().fit(history([7.0, 8.0], first=24 * 9 + 23)))
    assert (means[23], means[0]) == (7.0, 8.0)


def test_each_hour_has_the_mean_of_its_series() -> None:
    learned = [list(range(24)), list(range(100, 124))]
    hours = np.array([[24, 49], [47, 0]])
    values = HourMean().at(learned, np.array([1, 0]), hours)
    np.testing.assert_array_equal(values, [[100, 1], [123, 0]])
