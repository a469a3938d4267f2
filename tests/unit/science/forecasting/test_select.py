"""Fitting: every series gets a model row, a reason where it has no curve, and a ranked choice."""

import io
import json
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_science.forecasting.methods import prophet_curve
from aq_science.forecasting.predict import forecast
from aq_science.forecasting.select import fit_models
from aq_science.tables.forecast_models import FORECAST_MODELS
from tests.unit.science.forecasting.samples import (
    DAY,
    HOUR,
    MIDNIGHT,
    STATIONS,
    WEEKS,
    air,
    frame,
    keys,
    model_of,
    ordered,
)


def learned(row: dict[str, Any], method: str, lag: int) -> Any:
    """What a model row stores of one method at one lag."""
    [text] = [c["learned"] for c in row["candidates"] if (c["method"], c["lag"]) == (method, lag)]
    return json.loads(text)


def test_every_series_has_a_model_row(models: pl.DataFrame) -> None:
    assert models.schema == FORECAST_MODELS.schema
    assert models["station_id"].to_list() == list(STATIONS)
    assert models["day"].unique().to_list() == [DAY]


def test_a_long_series_has_a_curve_and_hold_out_scores(models: pl.DataFrame) -> None:
    row = model_of(models, "a")
    assert row["reason"] is None
    assert row["n_training"] == WEEKS
    assert row["training_end"] == MIDNIGHT - HOUR
    curve = learned(row, "prophet_curve", 0)
    assert set(curve) >= {"k", "m", "delta", "changepoints", "t_scale"}
    for h in (1, 2):
        assert row[f"n_h{h}"] == 7 * 24
        assert 0 <= learned(row, "prophet_residual", h)["rho"] <= 1
        assert row[f"skill_h{h}"] >= 0, "persistence is among the candidates"  # type: ignore[operator]
        assert row[f"mae_h{h}"] <= row[f"rmse_h{h}"]  # type: ignore[operator]
        assert row[f"mae_h{h}"] < row[f"mae_fallback_h{h}"]  # type: ignore[operator]


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
    assert "prophet_curve" not in {c["method"] for c in row["candidates"] or []}  # type: ignore[attr-defined]
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

    monkeypatch.setattr(prophet_curve, "fit_curves", lambda _, values: [None] * values.shape[1])
    monkeypatch.setattr(prophet_curve, "fit_curve", broken)
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
