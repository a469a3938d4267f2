"""Drift: whether the forecasts of the last week are as good as those of the weeks before."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from aq_science.forecasting.scores import pooled_scores
from aq_science.windows import DAY

RECENT_DAYS, BEFORE_DAYS = 7, 28
"""The finished days that are compared; of the day in progress there is little."""

MOST_SKILL_LOST = 0.15
"""By so much skill may fall. Measured on three Beijing stations, 514 days of 2013 and 2014 with no
known fault: 1.2 % of the weeks lost more (one station alone: 1.7 to 2.9 %), and 3.0 % more than
0.10."""

COVERAGE_BAND = (0.65, 0.92)
"""Shares of the readings that the 80 % interval may hold. In the same weeks 1.6 % were outside it
(one station alone: 2.5 to 5.0 %); outside 0.70 to 0.90 were 5.7 %."""

LEAST_FORECASTS = 100
"""A week of hourly forecasts has 168 of a station. As many a week are needed of the days before."""

_BY = ("parameter", "horizon")


def compared_days(today: date) -> tuple[date, date]:
    """First day of those compared, and the day behind the last, as seen on `today`."""
    return today - (RECENT_DAYS + BEFORE_DAYS) * DAY, today


def forecast_drift(scores: pl.DataFrame, today: date) -> pl.DataFrame:
    """The last week's scores beside those of the weeks before, and what to be alarmed at.

    `scores`: `FORECAST_SCORES` rows of all stations from `compared_days`; `today`: UTC. The result
    has a row a parameter and horizon with recent forecasts: `n`, `skill`, `coverage_80`,
    `n_before`, `skill_before`, and `alarm`, which says what has changed; null where nothing has,
    or where there are too few forecasts to tell.
    """
    since = today - timedelta(days=RECENT_DAYS)
    first, end = compared_days(today)
    recent = scores.filter(pl.col("date") >= since, pl.col("date") < end)
    before = scores.filter(pl.col("date") >= first, pl.col("date") < since)
    skill, was = pl.col("skill"), pl.col("skill_before")
    covered = pl.col("coverage_80")
    enough = pl.col("n") >= LEAST_FORECASTS
    comparable = enough & (pl.col("n_before") >= LEAST_FORECASTS * BEFORE_DAYS // RECENT_DAYS)
    lost = pl.when(comparable & (was - skill > MOST_SKILL_LOST)).then(
        pl.format(
            "skill over persistence fell from {} in {} days to {} in the last {}",
            was.round(2),
            pl.lit(BEFORE_DAYS),
            skill.round(2),
            pl.lit(RECENT_DAYS),
        )
    )
    low, high = COVERAGE_BAND
    missed = pl.when(enough & ~covered.is_between(low, high)).then(
        pl.format(
            "the 80 % interval held {} % of the last {} days' readings ({} to {} % is usual)",
            (covered * 100).round(1),
            pl.lit(RECENT_DAYS),
            pl.lit(round(100 * low)),
            pl.lit(round(100 * high)),
        )
    )
    return (
        pooled_scores(recent, *_BY)
        .select(*_BY, "n", "skill", "coverage_80")
        .join(
            pooled_scores(before, *_BY).select(*_BY, n_before="n", skill_before="skill"),
            on=_BY,
            how="left",
            maintain_order="left",
        )
        .with_columns(alarm=pl.concat_str(lost, missed, separator="; ", ignore_nulls=True))
        .with_columns(pl.when(pl.col("alarm") != "").then("alarm"))
    )
