"""Forecasts: laws that always hold, every fallback by name, and which model is chosen."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.forecasting.intervals import MIN_HALF_WIDTH
from aq_science.forecasting.methods.curves import curve_at
from aq_science.forecasting.methods.persistence import MAX_LAG
from aq_science.forecasting.methods.prophet_curve import REACH_HOURS
from aq_science.forecasting.predict import forecast, forecast_many
from aq_science.forecasting.schema import FORECAST_SCHEMA
from aq_science.forecasting.select import fit_models
from tests.laws import examples
from tests.unit.science.forecasting.samples import (
    DAY,
    EMPTY,
    HOUR,
    MIDNIGHT,
    NO_MODELS,
    STATIONS,
    WEEKS,
    air,
    frame,
    keys,
    model_of,
    ordered,
)


def test_horizons_are_the_hours_that_start_at_h(
    readings: pl.DataFrame, models: pl.DataFrame
) -> None:
    rows = forecast(models, readings, MIDNIGHT, keys("a"))
    assert rows.schema == FORECAST_SCHEMA
    assert rows["horizon"].to_list() == [1, 2]
    assert rows["hour"].to_list() == [MIDNIGHT, MIDNIGHT + HOUR]
    assert rows["issued_for"].unique().to_list() == [MIDNIGHT]
    assert rows["model_day"].unique().to_list() == [DAY]
    last = readings.filter(pl.col("station_id") == "a", pl.col("hour") == MIDNIGHT - HOUR)
    assert rows["persistence"].unique().to_list() == last["value"].to_list()


def test_the_value_is_what_the_model_row_says(readings: pl.DataFrame, models: pl.DataFrame) -> None:
    kept = pl.element().struct.field("method").is_in(["prophet_residual", "prophet_curve"])
    only = models.filter(pl.col("station_id") == "a").with_columns(
        pl.col("candidates").list.filter(kept)
    )
    at = MIDNIGHT + 5 * HOUR
    rows = forecast(only, readings, at, keys("a"))
    assert rows["model"].unique().to_list() == ["prophet_residual"]
    stored = {
        (c["method"], c["lag"]): json.loads(c["learned"])
        for c in model_of(models, "a")["candidates"]  # type: ignore[attr-defined]
    }
    seconds = np.array([(at + i * HOUR).timestamp() for i in (-1, 0, 1)])
    last_curve, *curve = curve_at(stored["prophet_curve", 0], seconds)
    last = rows["persistence"][0]
    expected = [
        c + stored["prophet_residual", h]["rho"] * (last - last_curve)
        for h, c in enumerate(curve, start=1)
    ]
    np.testing.assert_allclose(rows["value"].to_numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("gap", "allowed"),
    [
        (0, {"prophet_regression", "prophet_residual", "persistence"}),
        (1, {"prophet_regression", "prophet_residual", "persistence"}),
        (MAX_LAG - 2, {"prophet_residual", "persistence"}),
        (MAX_LAG, {"prophet_residual"}),
        (22, {"prophet_residual"}),
        (24, {"prophet_curve"}),
        (REACH_HOURS, {"hour_of_day_mean"}),
    ],
)
def test_model_by_age_of_the_last_reading(
    readings: pl.DataFrame, models: pl.DataFrame, gap: int, allowed: set[str]
) -> None:
    known = readings.filter(pl.col("hour") < MIDNIGHT)
    rows = forecast(models, known, MIDNIGHT + gap * HOUR, keys("a", "b"))
    assert set(rows["model"]) <= allowed
    assert ordered(rows)
    assert rows.filter(pl.col("horizon") == 2)["persistence"].is_null().all() == (gap + 2 > MAX_LAG)


def test_intervals_widen_with_the_gap(readings: pl.DataFrame, models: pl.DataFrame) -> None:
    known = readings.filter(pl.col("hour") < MIDNIGHT)

    def width(gap: int) -> float:
        rows = forecast(models, known, MIDNIGHT + gap * HOUR, keys("a"))
        return float((rows["upper_80"] - rows["lower_80"])[0])

    assert width(0) < width(6) < width(20)


@pytest.mark.parametrize(
    ("station", "model"),
    [
        ("short", "persistence"),
        ("flat", "persistence"),
        ("quiet", "hour_of_day_mean"),
        ("mute", "network_median"),
    ],
)
def test_fallback_by_name(
    readings: pl.DataFrame, models: pl.DataFrame, station: str, model: str
) -> None:
    for given_models in (models, NO_MODELS):
        rows = forecast(given_models, readings, MIDNIGHT, keys(station))
        assert rows["model"].to_list() == [model, model]
        assert ordered(rows)


def test_a_flat_series_has_the_least_width(readings: pl.DataFrame, models: pl.DataFrame) -> None:
    rows = forecast(models, readings, MIDNIGHT, keys("flat"))
    assert rows["value"].to_list() == [0.0, 0.0]
    assert rows["lower_80"].to_list() == [0.0, 0.0]
    assert (rows["upper_80"] >= MIN_HALF_WIDTH["µg/m³"]).all()


def test_a_handful_of_readings_has_the_wide_default() -> None:
    row = forecast(NO_MODELS, frame("a", [40.0, 40.0, 40.0]), MIDNIGHT, keys("a")).row(
        0, named=True
    )
    assert row["model"] == "persistence"
    assert row["model_day"] is None
    bounds = [row[c] for c in ("lower_95", "lower_80", "value", "upper_80", "upper_95")]
    assert bounds == [0.0, 10.0, 40.0, 70.0, 100.0]


def test_network_median_takes_the_others_latest_readings() -> None:
    others = pl.concat(frame(f"s{i}", [500.0, float(i)]) for i in range(21))
    row = forecast(NO_MODELS, others, MIDNIGHT, keys("new")).row(0, named=True)
    assert (row["model"], row["value"]) == ("network_median", 10.0)
    assert (row["lower_80"], row["upper_80"]) == pytest.approx((2.0, 18.0))
    assert row["persistence"] is None


def test_no_valid_reading_anywhere_is_a_row_without_value() -> None:
    wanted = pl.concat([keys("a", "b"), keys("a", parameter="co")])
    rows = forecast(NO_MODELS, EMPTY, MIDNIGHT, wanted)
    assert rows.height == 6
    assert rows["model"].unique().to_list() == ["no_valid_readings"]
    assert (
        rows.select("value", "lower_80", "upper_80", "lower_95", "upper_95").null_count().row(0)
        == (6,) * 5
    )
    fitted = fit_models(EMPTY, DAY, wanted)
    assert fitted["model"].unique().to_list() == ["no_valid_readings"]
    assert_frame_equal(forecast(fitted, EMPTY, MIDNIGHT, wanted), rows)


def flagged_since(hours: int, station: str = "dead") -> pl.DataFrame:
    """A station whose last hours all say zero and are flagged; good ones before."""
    good = frame(station, [10.0 + n % 5 for n in range(24 * 20)])
    suspect = pl.col("hour") >= MIDNIGHT - hours * HOUR
    return good.with_columns(
        value=pl.when(suspect).then(0.0).otherwise("value"),
        flag=pl.when(suspect).then(pl.lit("suspect")).otherwise("flag"),
    )


def test_a_sensor_flagged_for_a_day_has_no_forecast_of_its_own() -> None:
    rows = forecast(NO_MODELS, flagged_since(25), MIDNIGHT, keys("dead"))
    assert rows["model"].to_list() == ["sensor_flagged"] * 2
    assert rows.select("value", "lower_80", "upper_95", "persistence").null_count().row(0) == (
        (2,) * 4
    )


@pytest.mark.fit
def test_nor_do_the_models_that_were_fitted_before_serve_it() -> None:
    readings = flagged_since(25)
    models = fit_models(flagged_since(0), DAY, keys("dead"))
    assert forecast(models, flagged_since(0), MIDNIGHT, keys("dead"))["value"].null_count() == 0
    assert forecast(models, readings, MIDNIGHT, keys("dead"))["model"][0] == "sensor_flagged"


def test_its_neighbours_estimate_is_named_as_such() -> None:
    readings = pl.concat([flagged_since(30), frame("well", [7.0])])
    rows = forecast(NO_MODELS, readings, MIDNIGHT, keys("dead", "well"))
    assert dict(rows.select("station_id", "model").iter_rows()) == {
        "dead": "network_median",
        "well": "persistence",
    }
    assert set(rows["value"]) == {7.0}


@pytest.mark.parametrize("hours", [1, 23])
def test_one_flagged_for_less_is_forecast_from_its_last_valid_hour(hours: int) -> None:
    rows = forecast(NO_MODELS, flagged_since(hours), MIDNIGHT, keys("dead"))
    assert "sensor_flagged" not in rows["model"].to_list()
    assert rows["value"].null_count() == 0


def test_one_that_is_silent_for_days_keeps_its_own_mean() -> None:
    silent = flagged_since(30).filter(pl.col("flag") == "valid")
    rows = forecast(NO_MODELS, silent, MIDNIGHT, keys("dead"))
    assert set(rows["model"]) == {"hour_of_day_mean"}


def test_temperature_may_be_negative_and_concentrations_not() -> None:
    cold = [*([-20.0] * 30), -12.0]
    for parameter, value in (("temperature", -12.0), ("pm25", 0.0)):
        rows = forecast(
            NO_MODELS,
            frame("a", cold, parameter=parameter),
            MIDNIGHT,
            keys("a", parameter=parameter),
        )
        assert rows["value"].to_list() == [value, value]
        assert ordered(rows)
        assert (rows["lower_95"] < 0).all() == (parameter == "temperature")


def test_a_model_of_a_later_day_is_not_used(readings: pl.DataFrame, models: pl.DataFrame) -> None:
    rows = forecast(models, readings, MIDNIGHT - HOUR, keys("a"))
    assert rows["model"].to_list() == ["persistence", "persistence"]
    assert rows["model_day"].is_null().all()


def test_the_newest_model_day_begun_by_the_issue_time_counts(
    readings: pl.DataFrame, models: pl.DataFrame
) -> None:
    both = pl.concat([models, models.with_columns(pl.col("day") + timedelta(days=1))])
    times = [MIDNIGHT + 23 * HOUR, MIDNIGHT + 24 * HOUR]
    rows = forecast_many(both, readings, times, keys("a")).filter(pl.col("horizon") == 1)
    assert rows["model_day"].to_list() == [DAY, DAY + timedelta(days=1)]


def test_many_issue_times_are_as_each_alone(readings: pl.DataFrame, models: pl.DataFrame) -> None:
    times = [MIDNIGHT + h * HOUR for h in range(-30, 30, 7)]
    wanted = keys(*STATIONS, "unknown")
    alone = pl.concat(forecast(models, readings, at, wanted) for at in times)
    together = forecast_many(models, readings, times, wanted)
    assert_frame_equal(together, alone, check_row_order=False, rel_tol=1e-12)
    assert together.height == 2 * len(times) * wanted.height


@pytest.mark.parametrize("moment", [datetime(2024, 3, 1), datetime(2024, 3, 1, 0, 30, tzinfo=UTC)])
def test_issue_times_are_aware_and_on_the_hour(moment: datetime) -> None:
    with pytest.raises(ValueError, match=r"time zone|on the hour"):
        forecast(NO_MODELS, EMPTY, moment, keys("a"))


def test_nothing_asked_nothing_given() -> None:
    assert forecast_many(NO_MODELS, EMPTY, [], keys("a")).schema == FORECAST_SCHEMA
    assert forecast(NO_MODELS, EMPTY, MIDNIGHT, keys()).height == 0


# Laws

_values = st.one_of(st.none(), st.floats(-50, 1000), st.just(0.0))


@st.composite
def any_readings(draw: st.DrawFn) -> pl.DataFrame:
    parts = [EMPTY]
    for station in ("a", "b", "mute", "new"):
        values = draw(st.lists(_values, max_size=40))
        end = MIDNIGHT + draw(st.integers(-300, 40)) * HOUR
        flags = st.sampled_from(["valid", "valid", "valid", "suspect"])
        part = frame(station, values, end)  # type: ignore[arg-type]
        chosen = draw(st.lists(flags, min_size=len(values), max_size=len(values)))
        parts.append(part.with_columns(pl.Series("flag", chosen, dtype=pl.String)))
    return pl.concat(parts)


_relaxed = settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_relaxed
@given(known=any_readings(), hour=st.integers(0, 30), fitted=st.booleans())
def test_laws(models: pl.DataFrame, known: pl.DataFrame, hour: int, fitted: bool) -> None:
    at = MIDNIGHT + hour * HOUR
    wanted = keys("a", "b", "flat", "mute", "new")
    given_models = models if fitted else NO_MODELS
    rows = forecast(given_models, known, at, wanted)
    assert rows.height == 2 * wanted.height
    assert rows.select("station_id", "horizon").is_unique().all()
    assert ordered(rows)
    assert rows.select(pl.min_horizontal("lower_95", "value").fill_null(0.0).min()).item() >= 0
    # Nothing that ended after H changes the result, be it altered, dropped or new.
    later = pl.col("hour") >= at
    altered = known.with_columns(
        pl.when(later).then(pl.col("value") * 3 + 700).otherwise("value").alias("value")
    )
    added = pl.concat([known.filter(~later), frame("a", [900.0] * 5, at + 5 * HOUR)])
    for changed in (altered, known.filter(~later), added):
        assert_frame_equal(forecast(given_models, changed, at, wanted), rows)


def test_intervals_are_wide_where_the_hour_of_the_day_was_never_read() -> None:
    values = np.where(np.arange(WEEKS) % 24 < 12, air(WEEKS, 1), np.nan)
    seen = frame("a", values).filter(pl.col("value").is_not_nan())
    models = fit_models(seen, DAY, keys("a"))
    issue = MIDNIGHT + 15 * HOUR
    made = forecast(models, seen, issue, keys("a"))
    reach = float(np.nanmax(values) - np.nanmin(values))
    for row in made.to_dicts():
        assert row["upper_95"] - row["value"] >= reach
        assert row["lower_95"] <= max(0.0, row["value"] - reach)
    # An hour that was read is as sure as before.
    day = forecast(models, seen, MIDNIGHT, keys("a")).filter(pl.col("horizon") == 1)
    assert (day["upper_95"] - day["value"]).item() < reach
