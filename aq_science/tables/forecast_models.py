"""The daily files of `forecast_models`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import INSTANT

QUANTILES = ("q_lower_95", "q_lower_80", "q_upper_80", "q_upper_95")

# One method at one lag. What it learned is JSON in the method's own terms; the quantiles are of its
# error, in units of the row's scale.
CANDIDATE = pl.Struct(
    {
        "lag": pl.Int16(),
        "method": pl.String(),
        "learned": pl.String(),
        **dict.fromkeys(QUANTILES, pl.Float64()),
    }
)

FORECAST_MODELS = Table(
    name="forecast_models",
    text=(
        "Not a table: one Parquet file a day in the object store, "
        "`<network>/forecast_models/date=YYYY-MM-DD/models.parquet`, one row a station and "
        "parameter. `_h1` and `_h2` are the two horizons. Scores are of the hold-out week, the "
        "last before `day`."
    ),
    key=("station_id", "parameter", "day"),
    window="day",
    rules=(
        Rule(
            "no_worse_than_persistence",
            "No method serves that was worse than persistence by over 1 % on the hold-out week.",
            pl.any_horizontal(
                pl.col(f"mae_h{h}") > 1.01 * pl.col(f"mae_persistence_h{h}") for h in (1, 2)
            ),
        ),
        Rule(
            "scored_or_explained",
            "A series whose methods did not compete says why.",
            pl.col("mae_h1").is_null() & pl.col("mae_h2").is_null() & pl.col("reason").is_null(),
        ),
    ),
    columns=(
        Column("station_id", pl.String(), "Station within the network"),
        Column("parameter", pl.String(), "Canonical parameter"),
        Column("day", pl.Date(), "Fitted on hours that ended by this day's midnight UTC"),
        Column("model", pl.String(), "Method served at horizon 1 when the last hour arrived"),
        Column("model_h2", pl.String(), "The same at horizon 2"),
        Column(
            "reason",
            pl.String(),
            "Why the methods could not compete and a plain one serves; null where they did",
        ),
        Column("n_training", pl.Int32(), "Valid readings in the 56 days"),
        Column("training_end", INSTANT, "Start of the last training hour"),
        Column(
            "scale",
            pl.Float64(),
            "Half the median reading, in its unit; scales the intervals",
            unit="canonical unit",
        ),
        Column(
            "hours_seen",
            pl.Int32(),
            "Bit h is set where there was a reading of the UTC hour h of the day",
        ),
        Column(
            "reading_range",
            pl.Float64(),
            "Highest less lowest reading; how wide the intervals of hours never seen are",
            unit="canonical unit",
        ),
        Column("n_h1", pl.Int32(), "Hold-out forecasts at horizon 1"),
        Column(
            "mae_h1",
            pl.Float64(),
            "Mean absolute error of the served method",
            unit="canonical unit",
        ),
        Column(
            "rmse_h1",
            pl.Float64(),
            "Root mean square error of the served method",
            unit="canonical unit",
        ),
        Column(
            "mae_persistence_h1",
            pl.Float64(),
            "Mean absolute error of persistence",
            unit="canonical unit",
        ),
        Column(
            "mae_fallback_h1",
            pl.Float64(),
            (
                "Mean absolute error, over the same hours, of what serves where the last "
                "reading is too old (the bare Prophet curve)"
            ),
            unit="canonical unit",
        ),
        Column("skill_h1", pl.Float64(), "1 - mae / mae_persistence", unit="1"),
        Column("n_h2", pl.Int32(), "As `n_h1`, horizon 2"),
        Column("mae_h2", pl.Float64(), "As `mae_h1`, horizon 2", unit="canonical unit"),
        Column("rmse_h2", pl.Float64(), "As `rmse_h1`, horizon 2", unit="canonical unit"),
        Column(
            "mae_persistence_h2",
            pl.Float64(),
            "As `mae_persistence_h1`, horizon 2",
            unit="canonical unit",
        ),
        Column(
            "mae_fallback_h2",
            pl.Float64(),
            "As `mae_fallback_h1`, horizon 2",
            unit="canonical unit",
        ),
        Column("skill_h2", pl.Float64(), "As `skill_h1`, horizon 2", unit="1"),
        Column(
            "candidates",
            pl.List(CANDIDATE),
            (
                "Every method at every lag with what it learned and its interval quantiles, "
                "best first"
            ),
        ),
    ),
)
