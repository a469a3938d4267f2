"""Forecasts: laws that always hold, every fallback by name, and which model is chosen."""

import io
import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science import forecast_fit
from aq_science.forecast_common import (
    CURVE_REACH_HOURS,
    MIN_HALF_WIDTH,
    PERSISTENCE_MAX_LAG,
    Floats,
    conformal_quantiles,
    median_of_others,
)
from aq_science.forecasting import (
    FORECAST_SCHEMA,
    MODEL_SCHEMA,
    fit_models,
    forecast,
    forecast_many,
)
from aq_science.prophet_curve import curve_at

DAY = date(2024, 3, 1)
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INPUT = pl.Schema(
    {
        "station_id": pl.String(),
        "parameter": pl.String(),
        "hour": pl.Datetime("us", "UTC"),
        "value": pl.Float64(),
        "flag": pl.String(),
    }
)


def frame(
    station: str,
    values: Floats | list[float],
    end: datetime = MIDNIGHT,
    parameter: str = "pm25",
    flag: str = "valid",
) -> pl.DataFrame:
    """Hourly readings whose last hour ends at `end`."""
    first = end - len(values) * HOUR
    return pl.DataFrame(
        {
            "station_id": station,
            "parameter": parameter,
            "hour": [first + i * HOUR for i in range(len(values))],
            "value": list(values),
            "flag": flag,
        },
        schema=INPUT,
    )


def air(n: int, seed: int) -> Floats:
    """A daily cycle and a slow weather shared by every seed, and noise of each seed's own."""
    weather = np.cumsum(np.random.default_rng(99).normal(size=n + 1))[1:]
    own = np.random.default_rng(seed).normal(size=n)
    values: Floats = np.abs(60 + 15 * np.sin(np.arange(n) / 24 * 2 * np.pi) + weather + own)
    return values


def keys(*stations: str, parameter: str = "pm25") -> pl.DataFrame:
    return pl.DataFrame({"station_id": stations, "parameter": parameter})


NO_MODELS = pl.DataFrame(schema=MODEL_SCHEMA)
EMPTY = pl.DataFrame(schema=INPUT)
WEEKS = 56 * 24
STATIONS = ("a", "b", "c", "flat", "mute", "quiet", "short")


@pytest.fixture(scope="module")
def readings() -> pl.DataFrame:
    return pl.concat(
        [
            *(frame(s, air(WEEKS + 24, i), MIDNIGHT + 24 * HOUR) for i, s in enumerate("abc")),
            frame("short", air(100, 5)),
            frame("flat", np.where(np.arange(WEEKS) % 50 == 0, 3.0, 0.0)),
            frame("quiet", air(WEEKS - 240, 6), MIDNIGHT - 240 * HOUR),
            frame("mute", air(WEEKS, 7), flag="invalid"),
        ]
    )


@pytest.fixture(scope="module")
def models(readings: pl.DataFrame) -> pl.DataFrame:
    return fit_models(readings, DAY, keys(*STATIONS))


def model_of(models: pl.DataFrame, station: str) -> dict[str, object]:
    return models.row(by_predicate=pl.col("station_id") == station, named=True)


def ordered(rows: pl.DataFrame) -> bool:
    bounds = ["lower_95", "lower_80", "value", "upper_80", "upper_95"]
    filled = rows.filter(pl.col("model") != "no_valid_readings")
    table = filled.select(bounds).to_numpy()
    return bool(np.isfinite(table).all() and (np.diff(table, axis=1) >= 0).all())


# Fitting


def test_every_series_has_a_model_row(models: pl.DataFrame) -> None:
    assert models.schema == MODEL_SCHEMA
    assert models["station_id"].to_list() == list(STATIONS)
    assert models["day"].unique().to_list() == [DAY]


def test_a_long_series_has_a_curve_and_hold_out_scores(models: pl.DataFrame) -> None:
    row = model_of(models, "a")
    assert row["reason"] is None
    assert row["n_training"] == WEEKS
    assert row["training_end"] == MIDNIGHT - HOUR
    assert set(json.loads(str(row["curve"]))) >= {"k", "m", "delta", "changepoints", "t_scale"}
    for h in (1, 2):
        assert row[f"n_h{h}"] == 7 * 24
        assert 0 <= row[f"rho_h{h}"] <= 1  # type: ignore[operator]
        assert row[f"skill_h{h}"] >= 0, "persistence is among the candidates"  # type: ignore[operator]
        assert row[f"mae_h{h}"] <= row[f"rmse_h{h}"]  # type: ignore[operator]
        assert row[f"mae_h{h}"] < row[f"mae_prophet_h{h}"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("station", "model", "reason"),
    [
        ("short", "persistence", "short: 100 valid readings"),
        ("flat", "persistence", "flat"),
        ("quiet", "persistence", "silent: 0 valid readings in the hold-out week"),
        ("mute", "network_median", "no valid reading"),
    ],
)
def test_a_series_without_a_curve_says_why(
    models: pl.DataFrame, station: str, model: str, reason: str
) -> None:
    row = model_of(models, station)
    assert row["curve"] is None
    assert row["model"] == model
    assert str(row["reason"]).startswith(reason)


def test_fitting_ignores_what_came_after_midnight(
    readings: pl.DataFrame, models: pl.DataFrame
) -> None:
    changed = readings.with_columns(
        pl.when(pl.col("hour") >= MIDNIGHT).then(1e6).otherwise("value").alias("value")
    )
    assert_frame_equal(fit_models(changed, DAY, keys(*STATIONS)), models)


def test_only_valid_finite_readings_count() -> None:
    noise = [
        frame("a", [float("nan")] * 50),
        frame("a", [5.0] * 50, flag="suspect"),
        frame("a", [None] * 50),  # type: ignore[list-item]
    ]
    row = fit_models(pl.concat(noise), DAY, keys("a")).row(0, named=True)
    assert (row["model"], row["n_training"]) == ("no_valid_readings", 0)


def test_a_failing_fit_is_a_fallback_with_its_reason(
    readings: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("Optimization failed")

    monkeypatch.setattr(forecast_fit, "fit_curve", broken)
    failed = fit_models(readings, DAY, keys("a"))
    assert failed["reason"].to_list() == ["fit failed: RuntimeError: Optimization failed"]
    rows = forecast(failed, readings, MIDNIGHT, keys("a"))
    assert rows["model"].to_list() == ["persistence", "persistence"]
    assert ordered(rows)


def test_readings_every_third_hour_use_the_lag_they_have() -> None:
    every_third = frame("a", air(WEEKS, 1)).gather_every(3)
    models = fit_models(every_third, DAY, keys("a"))
    assert models["reason"].to_list() == [None]
    rows = forecast(models, every_third, MIDNIGHT, keys("a"))
    assert set(rows["model"]) <= {"persistence", "prophet_residual"}


def test_progress_is_reported(readings: pl.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    fit_models(readings, DAY, keys("short", "mute"), lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]


def test_models_survive_parquet(readings: pl.DataFrame, models: pl.DataFrame) -> None:
    file = io.BytesIO()
    models.write_parquet(file)
    file.seek(0)
    back = pl.read_parquet(file)
    assert_frame_equal(back, models)
    assert_frame_equal(
        forecast(back, readings, MIDNIGHT, keys(*STATIONS)),
        forecast(models, readings, MIDNIGHT, keys(*STATIONS)),
    )


def test_enum_and_categorical_columns_are_welcome(
    readings: pl.DataFrame, models: pl.DataFrame
) -> None:
    stored = readings.with_columns(
        pl.col("station_id").cast(pl.Categorical),
        pl.col("parameter").cast(pl.Enum(["co", "pm25"])),
        pl.col("flag").cast(pl.Enum(["valid", "invalid"])),
    )
    wanted = stored.select("station_id", "parameter").unique()
    assert_frame_equal(
        forecast(models, stored, MIDNIGHT, wanted),
        forecast(models, readings, MIDNIGHT, keys(*STATIONS)),
    )


# Forecasting


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
    only = models.filter(pl.col("station_id") == "a").with_columns(
        pl.col("rungs").list.filter(pl.element().struct.field("rung") == "prophet_residual")
    )
    at = MIDNIGHT + 5 * HOUR
    rows = forecast(only, readings, at, keys("a"))
    assert rows["model"].unique().to_list() == ["prophet_residual"]
    row = model_of(models, "a")
    seconds = np.array([(at + i * HOUR).timestamp() for i in (-1, 0, 1)])
    last_curve, *curve = curve_at(json.loads(str(row["curve"])), seconds)
    last = rows["persistence"][0]
    expected = [
        c + r * (last - last_curve)
        for c, r in zip(curve, (row["rho_h1"], row["rho_h2"]), strict=True)
    ]
    np.testing.assert_allclose(rows["value"].to_numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("gap", "allowed"),
    [
        (0, {"prophet_regression", "prophet_residual", "persistence"}),
        (1, {"prophet_regression", "prophet_residual", "persistence"}),
        (PERSISTENCE_MAX_LAG - 2, {"prophet_residual", "persistence"}),
        (PERSISTENCE_MAX_LAG, {"prophet_residual"}),
        (22, {"prophet_residual"}),
        (24, {"prophet_curve"}),
        (CURVE_REACH_HOURS, {"hour_of_day_mean"}),
    ],
)
def test_model_by_age_of_the_last_reading(
    readings: pl.DataFrame, models: pl.DataFrame, gap: int, allowed: set[str]
) -> None:
    known = readings.filter(pl.col("hour") < MIDNIGHT)
    rows = forecast(models, known, MIDNIGHT + gap * HOUR, keys("a", "b"))
    assert set(rows["model"]) <= allowed
    assert ordered(rows)
    assert rows.filter(pl.col("horizon") == 2)["persistence"].is_null().all() == (
        gap + 2 > PERSISTENCE_MAX_LAG
    )


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
    times = [MIDNIGHT + h * HOUR for h in range(-30, 30, 3)]
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
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_quantiles_are_ordered_around_zero(errors: list[float]) -> None:
    q = conformal_quantiles(np.array(errors))
    assert q["q_lower_95"] <= q["q_lower_80"] <= 0 <= q["q_upper_80"] <= q["q_upper_95"]


def test_quantiles_have_the_finite_sample_correction() -> None:
    q = conformal_quantiles(np.arange(-49.0, 50.0))  # 99 errors: 10 of 100 gaps below the 10th
    assert (q["q_lower_80"], q["q_upper_80"]) == (-40.0, 40.0)
    assert (q["q_lower_95"], q["q_upper_95"]) == (-48.0, 48.0)


@given(st.lists(st.lists(st.one_of(st.floats(-9, 9), st.just(np.nan)), min_size=4, max_size=4)))
def test_median_of_others_is_the_plain_one(rows: list[list[float]]) -> None:
    table = np.array(rows).reshape(-1, 4)
    result = median_of_others(table)
    for i, j in np.ndindex(table.shape):
        others = np.delete(table[i], j)
        there = others[~np.isnan(others)]
        expected = np.median(there) if len(there) else np.nan
        np.testing.assert_allclose(result[i, j], expected)
