"""Trees fitted to whole networks: what is kept of them, found again, and what they forecast."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_science.forecasting.methods import gradient_boosting
from aq_science.forecasting.network_models import (
    Key,
    NetworkModels,
    fit_network_models,
)
from aq_science.forecasting.predict import forecast, forecast_many
from aq_science.forecasting.select import fit_models
from aq_science.tables.network_models import NETWORK_MODELS
from tests.unit.science.forecasting.samples import (
    DAY,
    FOUR_WEEKS,
    HOUR,
    MIDNIGHT,
    ahead_of_each_other,
    frame,
    keys,
    model_of,
    ordered,
)

pytestmark = [pytest.mark.fit, pytest.mark.usefixtures("lightgbm")]

WEEK = timedelta(days=7)


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


def test_a_row_a_lag_says_what_it_was_fitted_on(network: pl.DataFrame) -> None:
    assert network.schema == NETWORK_MODELS.schema
    rows = network.filter(trained_to=DAY).sort("lag").to_dicts()
    assert [(row["parameter"], row["lag"], row["method"]) for row in rows] == [
        ("pm25", 1, "gradient_boosting"),
        ("pm25", 2, "gradient_boosting"),
    ]
    assert {row["n_stations"] for row in rows} == {3}
    assert {row["n_readings"] for row in rows} == {3 * FOUR_WEEKS}
    assert json.loads(rows[0]["learned"])["parameters"] == ["temperature"]


def test_hours_from_midnight_on_teach_nothing(
    readings: pl.DataFrame, network: pl.DataFrame
) -> None:
    changed = readings.with_columns(
        value=pl.when(pl.col("hour") >= MIDNIGHT).then(1e6).otherwise("value")
    )
    again = fit_network_models(changed, DAY, DAY)
    assert_frame_equal(again, network.filter(trained_to=DAY))


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


def odd(kind: str) -> pl.DataFrame:
    """Four weeks of a station that is not as it should be."""
    random = np.random.default_rng(21)
    plain = 50 + np.cumsum(random.normal(size=FOUR_WEEKS))
    flag = "valid"
    if kind == "short":
        plain = plain[-60:]
    elif kind == "brand new":
        plain = plain[-1:]
    elif kind == "flat":
        plain = np.full(FOUR_WEEKS, 7.0)
    elif kind == "constant zero":
        plain = np.zeros(FOUR_WEEKS)
    elif kind == "negative":
        plain = -np.abs(plain) / 10
    elif kind == "exploding":
        plain = np.exp(np.arange(FOUR_WEEKS) / 12)
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
