"""Rolling-origin forecasts of three Beijing stations against what then came."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from aq_science.forecasting.methods.curves import curve_at
from aq_science.forecasting.predict import forecast_many
from aq_science.forecasting.select import fit_models

ROOT = Path(__file__).resolve().parents[4]
REAL = Path(os.environ.get("AQ_REAL_DATA") or ROOT.parent / "shared" / "data")
FILES = sorted((REAL / "prsa").glob("*.csv.gz"))

DAYS = [date(2013, 7, 10) + timedelta(days=83 * i) for i in range(10)]
"""Spread over all seasons; 24 issue times each."""

MIN_SKILL = -0.05
COVERAGE_80 = (0.65, 0.95)
SERIES = ["station_id", "parameter"]


def beijing() -> pl.DataFrame:
    """PM2.5 in µg/m³ and CO in mg/m³; the files' stamps are local, UTC+8, and CO in µg/m³."""
    parts = []
    for path in FILES:
        table = pl.read_csv(path, null_values="NA", infer_schema_length=None)
        local = pl.datetime("year", "month", "day", "hour", time_zone="UTC")
        parts.append(
            table.select(
                pl.col("station").alias("station_id"),
                (local - pl.duration(hours=8)).dt.cast_time_unit("us").alias("hour"),
                pl.col("PM2.5").cast(pl.Float64).alias("pm25"),
                (pl.col("CO").cast(pl.Float64) / 1000).alias("co"),
            ).unpivot(index=["station_id", "hour"], variable_name="parameter")
        )
    return pl.concat(parts).with_columns(pl.lit("valid").alias("flag"))


@pytest.mark.fit
@pytest.mark.skipif(not FILES, reason="the Beijing files are not here (AQ_REAL_DATA)")
def test_never_much_worse_than_persistence_and_far_better_than_prophet() -> None:
    readings = beijing()
    series = readings.select(SERIES).unique()
    rows = []
    for day in DAYS:
        models = fit_models(readings, day, series)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        times = [midnight + timedelta(hours=h) for h in range(24)]
        made = forecast_many(models, readings, times, series)
        assert made.height == series.height * 24 * 2
        stored = models.explode("candidates").unnest("candidates")
        curves = stored.filter(pl.col("method") == "prophet_curve").select(
            *SERIES, pl.col("learned").alias("curve")
        )
        for _, part in made.join(curves, on=SERIES, how="left").group_by(SERIES):
            if (curve := part["curve"][0]) is None:  # a sensor that was off for weeks
                bare = pl.lit(None, dtype=pl.Float64)
            else:
                at = part["hour"].dt.epoch("s").to_numpy()
                bare = pl.lit(pl.Series(curve_at(json.loads(curve), at)))
            rows.append(part.drop("curve").with_columns(bare.alias("bare")))
    actual = readings.select(*SERIES, "hour", pl.col("value").alias("actual")).drop_nulls()
    scored = pl.concat(rows).join(actual, on=[*SERIES, "hour"]).drop_nulls("persistence")

    def mae(column: str, where: str = "actual") -> pl.Expr:
        error = (pl.col(column) - pl.col("actual")).abs()
        return error.filter(pl.col(where).is_not_null()).mean()

    table = (
        scored.group_by("parameter", "horizon")
        .agg(
            pl.len().alias("n"),
            mae("value").alias("mae"),
            mae("persistence").alias("mae_persistence"),
            (1 - mae("value") / mae("persistence")).alias("skill"),
            (1 - mae("bare") / mae("persistence", "bare")).alias("skill_prophet"),
            pl.col("actual").is_between("lower_80", "upper_80").mean().alias("coverage_80"),
            pl.col("actual").is_between("lower_95", "upper_95").mean().alias("coverage_95"),
        )
        .sort("parameter", "horizon")
    )
    with pl.Config(tbl_cols=-1, tbl_width_chars=140):
        print(table)
    for row in table.iter_rows(named=True):
        assert row["n"] > 500
        assert row["skill"] > MIN_SKILL, row
        assert row["skill_prophet"] < row["skill"] - 0.5, row
        assert COVERAGE_80[0] < row["coverage_80"] < COVERAGE_80[1], row
