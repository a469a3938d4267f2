"""The tables `forecast_scores`, and the same by the model that was served."""

from __future__ import annotations

from aq_science.tables.core import Table
from aq_science.tables.scores import DATE, MODE, MODEL, SCORE_RULES, SCORES, SERIES

FORECAST_SCORES = Table(
    name="forecast_scores",
    text=(
        "Forecasts against the valid readings that then came: one row a station, parameter, "
        "horizon, day of issue and mode with at least one such pair. A forecast without a value, "
        "or whose hour has no valid reading (yet), is not counted; a day is scored again with the"
        " readings as they are then."
    ),
    key=("network", "station_id", "parameter", "horizon", "date", "mode"),
    window="date",
    columns=(*SERIES, DATE, MODE, *SCORES),
    rules=SCORE_RULES,
)

FORECAST_SCORES_BY_MODEL = Table(
    name="forecast_scores_by_model",
    text=(
        "`forecast_scores` with a row for each model that was served on the day: a station falls "
        "back to another one where its last reading is too old."
    ),
    key=("network", "station_id", "parameter", "horizon", "date", "model", "mode"),
    window="date",
    columns=(*SERIES, DATE, MODEL, MODE, *SCORES),
    rules=SCORE_RULES,
)
