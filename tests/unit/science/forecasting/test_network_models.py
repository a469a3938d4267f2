"""Models of whole networks: when they are fitted, kept, found again, and compete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.forecasting import methods
from aq_science.forecasting.features import History, State
from aq_science.forecasting.methods import gradient_boosting
from aq_science.forecasting.methods.protocol import Learned, Prediction
from aq_science.forecasting.network_models import (
    MAX_TRAINING_DAYS,
    SCORED_DAYS,
    Key,
    NetworkModels,
    fit_network_models,
    refit_days,
    served_and_scored,
    training_days,
)
from aq_science.forecasting.predict import forecast, forecast_many
from aq_science.forecasting.schema import TRAINING_DAYS
from aq_science.forecasting.select import HYSTERESIS, fit_models
from aq_science.tables.network_models import NETWORK_MODELS
from tests.libraries import needs_lightgbm
from tests.unit.science.forecasting.samples import (
    DAY,
    EMPTY,
    HOUR,
    MIDNIGHT,
    air,
    frame,
    keys,
    model_of,
    ordered,
)

needs_lightgbm()

WEEK = timedelta(days=7)
HOURS = 28 * 24


def ahead_of_each_other() -> pl.DataFrame:
    """Four weeks and a day of a station, of another that has its values two hours later, and of
    a third far from both, so that the median of the others says little."""
    random = np.random.default_rng(11)
    first = 100 + np.cumsum(random.normal(scale=3, size=HOURS + 24))
    second = np.concatenate([first[:2], first[:-2]]) + random.normal(scale=0.2, size=len(first))
    end = MIDNIGHT + 24 * HOUR
    return pl.concat(
        [
            frame("first", first, end),
            frame("second", second, end),
            frame("third", 400 + np.cumsum(random.normal(scale=9, size=len(first))), end),
            frame("first", 20 + random.normal(size=len(first)), end, "temperature"),
        ]
    )


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Few trees: the tests ask how models are used, not how good they can be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_boosting, "ROUNDS", 60)
        patch.setattr(gradient_boosting, "SIZE_ROUNDS", 20)
        yield


@pytest.fixture(scope="module")
def readings() -> pl.DataFrame:
    return ahead_of_each_other()


@pytest.fixture(scope="module")
def network(readings: pl.DataFrame) -> pl.DataFrame:
    """Fitted to the day of the models, and to a week before."""
    return pl.concat(
        [fit_network_models(readings, day, DAY, workers=2) for day in (DAY - WEEK, DAY)]
    )


@pytest.fixture(scope="module")
def models(readings: pl.DataFrame, network: pl.DataFrame) -> pl.DataFrame:
    return fit_models(readings, DAY, keys("first", "second"), network)


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


def test_a_row_a_lag_says_what_it_was_fitted_on(network: pl.DataFrame) -> None:
    assert network.schema == NETWORK_MODELS.schema
    rows = network.filter(trained_to=DAY).sort("lag").to_dicts()
    assert [(row["parameter"], row["lag"], row["method"]) for row in rows] == [
        ("pm25", 1, "gradient_boosting"),
        ("pm25", 2, "gradient_boosting"),
    ]
    assert {row["n_stations"] for row in rows} == {3}
    assert {row["n_readings"] for row in rows} == {3 * HOURS}
    assert json.loads(rows[0]["learned"])["parameters"] == ["temperature"]


def test_hours_from_midnight_on_teach_nothing(
    readings: pl.DataFrame, network: pl.DataFrame
) -> None:
    changed = readings.with_columns(
        value=pl.when(pl.col("hour") >= MIDNIGHT).then(1e6).otherwise("value")
    )
    again = fit_network_models(changed, DAY, DAY)
    assert_frame_equal(again, network.filter(trained_to=DAY))


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


def test_the_older_model_stands_for_the_one_that_serves(network: pl.DataFrame) -> None:
    stored = NetworkModels(network)
    key = Key("gradient_boosting", "pm25", 1)
    served = stored.on(key, DAY)
    assert served is not None
    assert (served.newest_to, served.scored_to) == (DAY, DAY - WEEK)
    assert served.newest == stored.learned(key, DAY)
    assert served.scored == stored.learned(key, DAY - WEEK)
    assert served.scored != stored.learned(key, DAY)
    # A day before, the newest is not yet to be used and the other has nothing to be judged by.
    assert stored.on(key, DAY - timedelta(days=1)) is None
    assert stored.learned(key, DAY - timedelta(days=1)) is None
    assert NetworkModels(None).on(key, DAY) is None
    # Served on, it is judged by itself once a week has passed that it had not seen.
    later = stored.on(key, DAY + WEEK)
    assert later is not None
    assert later.scored == stored.learned(key, DAY)


def test_it_competes_and_serves(
    readings: pl.DataFrame, models: pl.DataFrame, network: pl.DataFrame
) -> None:
    row = model_of(models, "second")
    assert (row["model"], row["model_h2"]) == ("gradient_boosting", "gradient_boosting")
    assert isinstance(row["skill_h1"], float)
    assert row["skill_h1"] > 0.3
    made = forecast(models, readings, MIDNIGHT + 5 * HOUR, keys("first", "second"), network)
    second = made.filter(station_id="second")
    assert second["model"].to_list() == ["gradient_boosting"] * 2
    assert ordered(made)
    truth = readings.filter(pl.col("hour").is_between(MIDNIGHT + 5 * HOUR, MIDNIGHT + 6 * HOUR))
    expected = truth.filter(station_id="second", parameter="pm25")["value"]
    assert np.abs(second["value"] - expected).max() < 5


def test_without_the_models_the_next_candidate_serves(
    readings: pl.DataFrame, models: pl.DataFrame
) -> None:
    made = forecast(models, readings, MIDNIGHT + 5 * HOUR, keys("second"))
    assert "gradient_boosting" not in made["model"].to_list()
    assert made["value"].is_not_null().all()


@pytest.mark.parametrize("model", ["gradient_boosting", "others"])
def test_nothing_after_the_issue_time_changes_a_forecast(
    readings: pl.DataFrame, models: pl.DataFrame, network: pl.DataFrame, model: str
) -> None:
    issue = MIDNIGHT + 5 * HOUR
    wanted, served = keys("first", "second"), network if model == "gradient_boosting" else None
    changed = readings.with_columns(
        value=pl.when(pl.col("hour") >= issue).then(1e6).otherwise("value")
    )
    before = forecast(models, readings, issue, wanted, served)
    assert_frame_equal(forecast(models, changed, issue, wanted, served), before)
    assert_frame_equal(
        forecast(models, readings.filter(pl.col("hour") < issue), issue, wanted, served), before
    )
    # And what came before does change it.
    earlier = readings.with_columns(
        value=pl.when(pl.col("hour") == issue - HOUR).then(150.0).otherwise("value")
    )
    assert not forecast(models, earlier, issue, wanted, served).equals(before)


def test_many_issue_times_are_as_each_alone(
    readings: pl.DataFrame, models: pl.DataFrame, network: pl.DataFrame
) -> None:
    times = [MIDNIGHT + n * HOUR for n in range(12)]
    wanted = keys("first", "second")
    together = forecast_many(models, readings, times, wanted, network)
    alone = [forecast(models, readings, time, wanted, network) for time in times]
    assert_frame_equal(together, pl.concat(alone), check_row_order=False)


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


def odd(kind: str) -> pl.DataFrame:
    """Four weeks of a station that is not as it should be."""
    random = np.random.default_rng(21)
    plain = 50 + np.cumsum(random.normal(size=HOURS))
    flag = "valid"
    if kind == "short":
        plain = plain[-60:]
    elif kind == "brand new":
        plain = plain[-1:]
    elif kind == "flat":
        plain = np.full(HOURS, 7.0)
    elif kind == "constant zero":
        plain = np.zeros(HOURS)
    elif kind == "negative":
        plain = -np.abs(plain) / 10
    elif kind == "exploding":
        plain = np.exp(np.arange(HOURS) / 12)
    elif kind == "dead":
        flag = "invalid"
    made = frame("odd", plain, flag=flag)
    return made[::7] if kind == "gappy" else made


@pytest.mark.parametrize(
    ("kind", "model", "reason"),
    [
        ("short", "persistence", "short: 60 valid readings"),
        ("brand new", "persistence", "short: 1 valid readings"),
        ("flat", "persistence", "flat: "),
        ("constant zero", "persistence", "flat: "),
        ("negative", None, None),
        ("exploding", None, None),
        ("gappy", None, None),
        ("dead", "network_median", "no valid reading"),
    ],
)
def test_odd_series_get_a_sensible_answer_and_a_reason(
    readings: pl.DataFrame, kind: str, model: str | None, reason: str | None
) -> None:
    both = pl.concat([readings.filter(pl.col("hour") < MIDNIGHT), odd(kind)])
    network = pl.concat([fit_network_models(both, to, DAY) for to in (DAY - WEEK, DAY)])
    models = fit_models(both, DAY, keys("first", "odd"), network)
    row = model_of(models, "odd")
    assert reason is None or str(row["reason"]).startswith(reason)
    assert row["reason"] is not None or isinstance(row["mae_h1"], float)
    made = forecast(models, both, MIDNIGHT, keys("first", "odd"), network)
    assert ordered(made)
    [first, second] = made.filter(station_id="odd").to_dicts()
    for answer in (first, second):
        assert model is None or answer["model"] == model
        assert answer["value"] >= 0
        assert answer["upper_95"] > answer["lower_95"]
    last = both.filter(station_id="odd", flag="valid")["value"]
    if len(last) and kind not in ("dead", "gappy"):
        latest = max(float(last[-1]), 0.0)
        assert first["value"] == pytest.approx(latest, rel=0.5, abs=5)
    # The others are forecast as ever.
    plain = made.filter(station_id="first")["value"]
    assert plain.is_between(20, 250).all()
