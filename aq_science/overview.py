"""Every station in a row: what its air is like for three hours, and why it is not known."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_science.current_air import NEWEST_BEGAN_WITHIN, current_categories
from aq_science.tables.current_categories import CURRENT_CATEGORIES
from aq_science.tables.overview import CURRENT, FLAGGED, OVERVIEW, OVERVIEW_HORIZONS, SILENT
from aq_science.windows import HOUR

_STATION = ["network", "station_id"]
_OF_AN_HOUR = ("hour", "rank", "category", "parameter")
_NO_READING, _NOT_ISSUED = "no_valid_readings", "not_issued"


def station_overview(
    stations: pl.DataFrame, readings: pl.DataFrame, forecasts: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """What is known of each station now.

    Args:
        stations: `STATIONS` of any networks.
        readings: `HOURLY_READINGS` of a day up to now, with text for categories.
        forecasts: `FORECASTS` of the last day, with text for categories.
        now: UTC.

    Returns:
        `OVERVIEW` with text for its categories, a row for each of `stations`, by its key.
    """
    rows = (
        stations.join(_newest(readings, now), on=_STATION, how="left")
        .join(_worst(readings, forecasts, now), on=_STATION, how="left")
        .join(_reasons(forecasts, now), on=_STATION, how="left")
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


def _newest(readings: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Newest hours of each station, and the tests that fired on the hours that count as now."""
    present = readings.filter(pl.col("value").is_not_null())
    recent = pl.col("hour") >= now - NEWEST_BEGAN_WITHIN
    return present.group_by(_STATION).agg(
        newest_hour=pl.col("hour").max(),
        newest_valid_hour=pl.col("hour").filter(pl.col("flag") == "valid").max(),
        tests=pl.col("reasons").filter(recent).explode().drop_nulls().unique().sort(),
    )


def _worst(readings: pl.DataFrame, forecasts: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Each station's worst category, the horizons side by side."""
    networks = sorted({*readings["network"], *forecasts["network"]})
    parts = [
        CURRENT_CATEGORIES.schema.to_frame().with_columns(
            pl.col(pl.Categorical, pl.Enum).cast(pl.String)
        )
    ]
    for network in networks:
        of_it = pl.col("network") == network
        found = current_categories(readings.filter(of_it), forecasts.filter(of_it), now)
        parts.append(found.cast(parts[0].schema))
    worst = (
        pl.concat(parts)
        .sort("rank", descending=True, maintain_order=True)
        .unique([*_STATION, "horizon"], keep="first", maintain_order=True)
    )
    found = worst.select(_STATION).unique()
    for horizon in OVERVIEW_HORIZONS:
        of_this = worst.filter(pl.col("horizon") == horizon).select(
            *_STATION, *(pl.col(name).alias(f"{name}_{horizon}") for name in _OF_AN_HOUR)
        )
        found = found.join(of_this, on=_STATION, how="left")
    return found


def _reasons(forecasts: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Why the newest forecasts have no value, where they say so.

    No reading to start from explains more than a flagged sensor of one parameter.
    """
    without = forecasts.filter(pl.col("value").is_null(), pl.col("hour") > now - HOUR)
    return without.group_by(_STATION).agg(
        reason=pl.when((pl.col("model") == _NO_READING).any())
        .then(pl.lit(_NO_READING))
        .otherwise(pl.col("model").first())
    )
