"""As known at: the readings that the forecast of an issue time may see."""

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from aq_science.forecasting.table import forecast_mode
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions

_READ = ("station_id", "parameter", "hour", "value", "flag")


def forecast_readings(readings: pl.LazyFrame) -> pl.DataFrame:
    """The readings and columns of `hourly_readings` that forecasts are made from."""
    return readings.filter(pl.col("value").is_not_null()).select(_READ).collect()


def network_readings(readings: pl.LazyFrame) -> pl.DataFrame:
    """The same, but only what a network is fitted on: valid readings."""
    return forecast_readings(readings.filter(pl.col("flag") == "valid"))


def known_readings(
    network: str,
    readings: pl.DataFrame,
    versions: pl.DataFrame,
    issue_times: list[datetime],
    issued_at: datetime,
    reference_c: float,
    neighbours: pl.DataFrame | None = None,
) -> Iterator[tuple[list[datetime], pl.DataFrame]]:
    """Issue times with the readings each may see.

    A hindcast sees the fold of what had been received by its issue time. Where nothing had been
    received by then (history loaded later), and for live forecasts, it is today's readings; either
    way `forecast_many` leaves out hours that had not ended.

    Args:
        network: Name.
        readings: Today's, as `forecast_readings` gives them.
        versions: `VERSION_SCHEMA` of the same hours; not needed for live forecasts.
        issue_times: Aware, on the hour.
        issued_at: When the forecasts are made, UTC.
        reference_c: Temperature at which gases convert, in °C.
        neighbours: Which stations are `NEIGHBOURS`, for the quality tests.

    Returns:
        Pairs of issue times and their readings; every issue time is in one of them.
    """
    first = versions["pulled_at"].min()
    as_now: list[datetime] = []
    for issued_for in issue_times:
        live = forecast_mode(issued_for, issued_at) == "live"
        if live or not isinstance(first, datetime) or issued_for < first:
            as_now.append(issued_for)
            continue
        folded = fold_versions(versions.filter(pl.col("hour") < issued_for), as_known_at=issued_for)
        known = hourly_readings(folded, network, reference_c, neighbours=neighbours)
        yield [issued_for], known.select(_READ)
    if as_now:
        yield as_now, readings
