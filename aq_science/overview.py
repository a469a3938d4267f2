"""Every station in a row: what its air is like for three hours, and why it is not known."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_science.current_air import NEWEST_BEGAN_WITHIN
from aq_science.tables.latest import HORIZONS
from aq_science.tables.overview import CURRENT, FLAGGED, OVERVIEW, OVERVIEW_HORIZONS, SILENT
from aq_science.windows import DAY, HOUR

_STATION = ["network", "station_id"]
_OF_AN_HOUR = ("hour", "rank", "category", "parameter")
_NO_READING, _NOT_ISSUED = "no_valid_readings", "not_issued"


def station_overview(
    stations: pl.DataFrame,
    hours: pl.DataFrame,
    categories: pl.DataFrame,
    newest: pl.DataFrame,
    now: datetime,
) -> pl.DataFrame:
    """What is known of each station now.

    Args:
        stations: `STATIONS` of any networks.
        hours: `NEWEST_HOURS` of any time before, with text for categories.
        categories: `CURRENT_CATEGORIES` of now, with text for categories.
        newest: `LATEST`, with text for categories, of which the forecasts count.
        now: UTC.

    Returns:
        `OVERVIEW` with text for its categories, a row for each of `stations`, by its key.
    """
    rows = (
        stations.join(_newest(hours, now), on=_STATION, how="left")
        .join(_worst(categories), on=_STATION, how="left")
        .join(_reasons(newest, now), on=_STATION, how="left")
    )
    since = now - NEWEST_BEGAN_WITHIN
    known = pl.any_horizontal(pl.col(f"rank_{horizon}").is_not_null() for horizon in (1, 2))
    state = (
        pl.when(pl.col("newest_valid_hour") >= since)
        .then(pl.lit(CURRENT))
        .when(pl.col("newest_hour") >= since)
        .then(pl.lit(FLAGGED))
        .otherwise(pl.lit(SILENT))
    )
    return (
        rows.with_columns(
            state=state,
            no_forecast=pl.when(~known).then(pl.col("reason").fill_null(_NOT_ISSUED)),
        )
        .with_columns(tests=pl.when(pl.col("state") == FLAGGED).then("tests"))
        .select(OVERVIEW.schema.names())
        .sort(OVERVIEW.key)
    )


def _newest(hours: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Newest hours of each station, and the tests that fired on the hours that count as now."""
    recent = pl.col("hour") >= now - NEWEST_BEGAN_WITHIN
    of_a_day = hours.filter(pl.col("hour") >= now - DAY)
    return of_a_day.group_by(_STATION).agg(
        newest_hour=pl.col("hour").max(),
        newest_valid_hour=pl.col("hour").filter("valid").max(),
        tests=pl.col("tests").filter(recent).explode().drop_nulls().unique().sort(),
    )


def _worst(categories: pl.DataFrame) -> pl.DataFrame:
    """Each station's worst category, the horizons side by side."""
    worst = categories.sort("rank", descending=True, maintain_order=True).unique(
        [*_STATION, "horizon"], keep="first", maintain_order=True
    )
    found = worst.select(_STATION).unique()
    for horizon in OVERVIEW_HORIZONS:
        of_this = worst.filter(pl.col("horizon") == horizon).select(
            *_STATION, *(pl.col(name).alias(f"{name}_{horizon}") for name in _OF_AN_HOUR)
        )
        found = found.join(of_this, on=_STATION, how="left")
    return found


def _reasons(newest: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Why the newest forecasts have no value, where they say so.

    No reading to start from explains more than a flagged sensor of one parameter.
    """
    without = pl.any_horizontal(
        pl.col(f"forecast_{horizon}_value").is_null()
        & (pl.col(f"forecast_{horizon}_hour") > now - HOUR)
        for horizon in HORIZONS
    )
    return (
        newest.filter(without)
        .group_by(_STATION)
        .agg(
            reason=pl.when((pl.col("model") == _NO_READING).any())
            .then(pl.lit(_NO_READING))
            .otherwise(pl.col("model").first())
        )
    )
