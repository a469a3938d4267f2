"""The air of now: newest readings and forecasts side by side, and the categories they come to."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from aq_science.indices.nowcast import NOWCAST_PARAMETERS, nowcast
from aq_science.indices.us_epa import CATEGORIES, CATEGORY, aqi, aqi_category
from aq_science.indices.us_epa_categories import ADVICE, COLOURS
from aq_science.parameters import PARAMETERS
from aq_science.tables.current_categories import BASES, CURRENT_CATEGORIES
from aq_science.tables.latest import HORIZONS, LATEST
from aq_science.windows import DAY, HOUR

# AirQo publishes an hour up to two and a half hours after it began.
NEWEST_BEGAN_WITHIN = timedelta(hours=4)
# What the NowCast of such an hour looks back on.
HOURS_FOR_NOWCAST = timedelta(hours=16)

# What counts as the latest.
LATEST_READINGS_WITHIN = 3 * DAY
LATEST_FORECASTS_WITHIN = DAY

_SERIES = ["network", "station_id", "parameter"]


def latest(readings: pl.DataFrame, forecasts: pl.DataFrame, stations: pl.DataFrame) -> pl.DataFrame:
    """Newest valid reading and newest forecast of each series.

    Args:
        readings: `HOURLY_READINGS` of the last days, in any order.
        forecasts: `FORECASTS` of the last day, in any order.
        stations: `STATIONS`; a series of a station that is not among them has no name or place.

    Returns:
        `LATEST` with text for its categories, sorted by its key; a row for each series that has a
        valid reading or a forecast.
    """
    newest = (
        _as_text(readings.filter(pl.col("flag") == "valid"))
        .sort("hour")
        .unique(_SERIES, keep="last", maintain_order=True)
        .select(*_SERIES, "unit", "hour", "value", "pulled_at")
    )
    found = newest.join(_side_by_side(_as_text(forecasts)), on=_SERIES, how="full", coalesce=True)
    placed = found.with_columns(unit=pl.coalesce("unit", "unit_right")).join(
        stations.select("network", "station_id", "name", "latitude", "longitude", "country"),
        on=["network", "station_id"],
        how="left",
    )
    return placed.select(LATEST.schema.names()).sort(LATEST.key)


def current_categories(
    readings: pl.DataFrame, forecasts: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """US EPA categories of stations, now and for the next hours.

    Args:
        readings: `HOURLY_READINGS` of one network, of `HOURS_FOR_NOWCAST` up to now.
        forecasts: `FORECASTS` of the same stations.
        now: UTC. A NowCast counts where its hour began within `NEWEST_BEGAN_WITHIN`, a forecast
            where its hour has not ended.

    Returns:
        `CURRENT_CATEGORIES` with text for its categories, by station, horizon and parameter.
    """
    measured = (
        nowcast(readings)
        .filter(pl.col("hour") >= now - NEWEST_BEGAN_WITHIN)
        .sort("hour")
        .unique(["station_id", "parameter"], keep="last", maintain_order=True)
    )
    index: pl.Expr = pl.lit(None, pl.Int32)
    for name in NOWCAST_PARAMETERS:
        index = (
            pl.when(pl.col("parameter") == name).then(aqi(name, pl.col("value"))).otherwise(index)
        )
    of_now = measured.join(
        readings.select("network", "station_id").unique(), on="station_id"
    ).select(
        *_SERIES,
        "hour",
        "value",
        horizon=pl.lit(0, pl.Int8),
        aqi=index,
        category=aqi_category(index),
        basis=pl.lit(BASES[0]),
    )
    to_come = _newest_issue(forecasts.filter(pl.col("hour") > now - HOUR)).select(
        *_SERIES,
        "hour",
        "value",
        "horizon",
        aqi=pl.lit(None, pl.Int32),
        category=pl.col("aqi_category").cast(CATEGORY),
        basis=pl.lit(BASES[1]),
    )
    rows = pl.concat([_as_text(of_now), _as_text(to_come)]).filter(pl.col("category").is_not_null())
    return (
        rows.join(_categories(), on=["parameter", "category"], how="left")
        .with_columns(
            unit=pl.col("parameter").replace_strict(
                {name: parameter.unit for name, parameter in PARAMETERS.items()},
                return_dtype=pl.String,
            )
        )
        .select(CURRENT_CATEGORIES.schema.names())
        .sort("network", "station_id", "horizon", "parameter")
    )


def still_current(categories: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """What `current_categories` of an earlier time still says now.

    Of the same readings and forecasts it is what `current_categories` says now: of each series the
    newest counts, and what was too old then is too old now.
    """
    measured = (pl.col("horizon") == 0) & (pl.col("hour") >= now - NEWEST_BEGAN_WITHIN)
    to_come = (pl.col("horizon") > 0) & (pl.col("hour") > now - HOUR)
    return categories.filter(measured | to_come)


def worst_categories(categories: pl.DataFrame) -> dict[int, dict[str, object]]:
    """The worst category at each horizon, which is the station's.

    `categories` is what `current_categories` gives for one station. By horizon: `hour`,
    `category`, `rank`, `colour`, `advice` and `parameter`, the first of equals.
    """
    worst = categories.sort("horizon", "rank", descending=[False, True], maintain_order=True)
    rows = worst.unique("horizon", keep="first", maintain_order=True)
    names = ("hour", "category", "rank", "colour", "advice", "parameter")
    return {row["horizon"]: {name: row[name] for name in names} for row in rows.to_dicts()}


def _side_by_side(forecasts: pl.DataFrame) -> pl.DataFrame:
    """The newest issue of each series as one row, with its horizons beside each other."""
    newest = _newest_issue(forecasts)
    found = newest.unique(_SERIES, keep="first", maintain_order=True).select(
        *_SERIES, "unit", "issued_for", "model", "mode"
    )
    names = ("hour", "value", "lower_80", "upper_80", "aqi_category")
    for horizon in HORIZONS:
        of_this = newest.filter(pl.col("horizon") == horizon).select(
            *_SERIES, *(pl.col(name).alias(f"forecast_{horizon}_{name}") for name in names)
        )
        found = found.join(of_this, on=_SERIES, how="left")
    return found


def _newest_issue(forecasts: pl.DataFrame) -> pl.DataFrame:
    return forecasts.filter(pl.col("issued_for") == pl.col("issued_for").max().over(_SERIES)).sort(
        *_SERIES, "horizon"
    )


def _categories() -> pl.DataFrame:
    """Rank, colour and advice of each parameter's categories."""
    rows = [
        (parameter, category, place + 1, COLOURS[place], statements[place])
        for parameter, statements in ADVICE.items()
        for place, category in enumerate(CATEGORIES)
    ]
    schema = {
        "parameter": pl.String(),
        "category": pl.String(),
        "rank": pl.Int32(),
        "colour": pl.String(),
        "advice": pl.String(),
    }
    return pl.DataFrame(rows, schema, orient="row")


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Categories as text, so that frames of any origin go together."""
    return frame.with_columns(
        pl.col(name).cast(pl.String)
        for name, dtype in frame.schema.items()
        if dtype in (pl.Categorical, pl.Enum)
    )
