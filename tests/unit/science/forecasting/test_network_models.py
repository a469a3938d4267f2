"""Models of whole networks: when they are fitted, what they give a reason for, and who serves."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting import methods
from aq_science.forecasting.features import History, State
from aq_science.forecasting.methods import gradient_boosting
from aq_science.forecasting.methods.protocol import Learned, Prediction
from aq_science.forecasting.network_models import (
    MAX_TRAINING_DAYS,
    SCORED_DAYS,
    fit_network_models,
    refit_days,
    served_and_scored,
    training_days,
)
from aq_science.forecasting.schema import TRAINING_DAYS
from aq_science.forecasting.select import HYSTERESIS, fit_models
from tests.unit.science.forecasting.samples import (
    DAY,
    EMPTY,
    MIDNIGHT,
    ahead_of_each_other,
    air,
    frame,
    keys,
)

WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def readings() -> pl.DataFrame:
    return ahead_of_each_other()


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_fits_end_on_the_two_mondays_before(day: date) -> None:
    served, scored = served_and_scored(day)
    assert served.weekday() == 0
    assert timedelta() <= day - served < WEEK
    assert served - scored == timedelta(days=SCORED_DAYS)
    assert day - scored >= timedelta(days=SCORED_DAYS)


def test_few_stations_are_fitted_on_years_and_many_on_weeks() -> None:
    assert training_days(1) == MAX_TRAINING_DAYS
    assert training_days(12) > 2 * 365
    assert 56 < training_days(100) < 365
    assert training_days(5000) == TRAINING_DAYS
    assert training_days(0) == MAX_TRAINING_DAYS


def test_past_models_of_a_young_network_are_fitted_each_week() -> None:
    assert refit_days(2, 60) <= 7
    assert 7 < refit_days(3, 700) < 31
    assert refit_days(1000, 700) == refit_days(5000, 700)


def test_nothing_to_learn_from_is_a_reason() -> None:
    assert fit_network_models(EMPTY, DAY, DAY).is_empty()
    short = fit_network_models(frame("a", air(50, 1)), DAY, DAY)
    assert short["learned"].to_list() == [None, None]
    assert short["reason"][0] == "short: too few pairs of valid readings 1 h apart"


def test_a_fit_that_breaks_is_a_reason(
    readings: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(gradient_boosting, "_trees", broken)
    rows = fit_network_models(readings, DAY, DAY)
    assert set(rows["reason"]) == {
        "fit failed: OSError: libgomp.so.1: cannot open shared object file"
    }
    models = fit_models(readings, DAY, keys("first", "second"), rows)
    assert "gradient_boosting" not in models["model"].to_list()


class Guess:
    """It knows what comes but for a share of persistence's error; later fits may know it less."""

    lags: tuple[int, ...] = (1, 2)

    def __init__(
        self, error: float, error_of_newest: float | None = None, name: str = "guess"
    ) -> None:
        self.name = name
        self.errors = [error, error if error_of_newest is None else error_of_newest]

    def fit(self, history: History, lag: int) -> Learned:
        return self.errors[0] if history.grid.first + len(history.values) <= CUT else self.errors[1]

    def predict(self, learned: Learned, state: State) -> Prediction:
        actual = state.history.values[-state.last.shape[0] :]
        value = actual + learned * (state.last - actual)
        return Prediction(value, np.ones_like(value))


CUT = int((MIDNIGHT - WEEK).timestamp()) // 3600


def fitted_with(
    readings: pl.DataFrame, *guesses: Guess, previous: pl.DataFrame | None = None
) -> pl.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "NETWORK", guesses)
        network = pl.concat([fit_network_models(readings, to, DAY) for to in (DAY - WEEK, DAY)])
        return fit_models(readings, DAY, keys("first"), network, previous)


def test_what_served_stays_unless_another_is_clearly_better(readings: pl.DataFrame) -> None:
    one, little, much = Guess(0.7), Guess(0.68, name="little"), Guess(0.6, name="much")
    before = fitted_with(readings, one)
    assert before["model"].to_list() == ["guess"]
    assert fitted_with(readings, one, little)["model"].to_list() == ["little"]
    stayed = fitted_with(readings, one, little, previous=before)
    assert stayed["model"].to_list() == ["guess"]
    assert stayed["skill_h1"].item() == pytest.approx(0.3, abs=1e-6)
    assert fitted_with(readings, one, much, previous=before)["model"].to_list() == ["much"]
    assert 0.7 - 0.6 > HYSTERESIS > 0.7 - 0.68


def test_persistence_gives_way_to_whatever_is_better(readings: pl.DataFrame) -> None:
    before = fitted_with(readings, Guess(1.5))
    assert before["model"].to_list() == ["persistence"]
    after = fitted_with(readings, Guess(0.99), previous=before)
    assert after["model"].to_list() == ["guess"]


@pytest.mark.parametrize(("error_of_newest", "serving"), [(0.5, DAY), (0.9, DAY - WEEK)])
def test_a_newer_fit_that_is_worse_on_a_week_it_has_seen_does_not_serve(
    readings: pl.DataFrame, error_of_newest: float, serving: date
) -> None:
    models = fitted_with(readings, Guess(0.6, error_of_newest))
    candidates = models.explode("candidates").unnest("candidates").filter(method="guess")
    assert set(candidates["learned"]) == {json.dumps(serving.isoformat())}


def test_what_is_worse_than_persistence_does_not_stay(readings: pl.DataFrame) -> None:
    before = fitted_with(readings, Guess(0.5))
    assert before["model"].to_list() == ["guess"]
    after = fitted_with(readings, Guess(1.02), previous=before)
    assert after["model"].to_list() == ["persistence"]
