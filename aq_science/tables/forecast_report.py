"""The table `forecast_report`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.scores import MODE, MODEL, SCORE_RULES, SCORES, SERIES

FORECAST_REPORT = Table(
    name="forecast_report",
    text=(
        "How good the forecasts were: `forecast_scores_by_model` by month, as if the forecasts of "
        "the month had been scored together. Made anew wherever days are scored: every night, by "
        "`aq refresh` and by `aq backfill --forecasts`."
    ),
    key=("network", "station_id", "parameter", "horizon", "month", "model", "mode"),
    columns=(
        *SERIES,
        Column("month", pl.Date(), "First day of the month in which they were issued, UTC"),
        MODEL,
        MODE,
        *SCORES,
    ),
    rules=SCORE_RULES,
)
