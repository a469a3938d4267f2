"""As known at: the readings that the forecast of an issue time may see."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import polars as pl

from aq_science.forecasting.table import forecast_mode
from aq_science.quality.core import NEIGHBOURS
from aq_science.quality.suite import STANDARD
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from aq_science.windows import DAY, Window

# Readings this far back are all that a forecast needs.
SEEN = timedelta(days=7)

_READ = ("station_id", "parameter", "hour", "value", "flag")
# Of several issue times so many versions are folded at once, which takes some 300 MiB.
_TOGETHER = 1_000_000


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
        versions: `VERSION_SCHEMA` of the hours `seen_before` each; not needed for live forecasts.
        issue_times: Aware, on the hour.
        issued_at: When the forecasts are made, UTC.
        reference_c: Temperature at which gases convert, in °C.
        neighbours: Which stations are `NEIGHBOURS`, for the quality tests.

    Returns:
        Pairs of issue times and their readings; every issue time is in one of them.
    """
    first = versions["pulled_at"].min()
    as_now: list[datetime] = []
    as_known: list[datetime] = []
    for issued_for in issue_times:
        live = forecast_mode(issued_for, issued_at) == "live"
        today = live or not isinstance(first, datetime) or issued_for < first
        (as_now if today else as_known).append(issued_for)
    near = NEIGHBOURS.to_frame() if neighbours is None else neighbours
    waiting = as_known
    while waiting:
        hours = seen_before(waiting[0])
        of_one = len(versions.filter(pl.col("hour").is_between(hours.start, hours.end)))
        count = max(1, _TOGETHER // max(1, of_one))
        together, waiting = waiting[:count], waiting[count:]
        folded, apart = _folded(versions, together)
        known = hourly_readings(folded, network, reference_c, neighbours=_in_each(near, apart))
        known = known.join(apart, on="station_id", maintain_order="left")
        for number, issued_for in enumerate(together):
            seen = known.filter(
                pl.col("number") == number, pl.col("hour") >= issued_for - SEEN
            ).with_columns(station_id="station")
            yield [issued_for], seen.select(_READ)
    if as_now:
        yield as_now, readings


def seen_before(issued_for: datetime) -> Window:
    """The hours whose versions decide on what a forecast sees: with those that tests look at."""
    start = (issued_for - SEEN).replace(hour=0)
    return Window(STANDARD.with_context(Window(start, start + DAY)).start, issued_for)


def _folded(
    versions: pl.DataFrame, issue_times: list[datetime]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What was known at several issue times, in one frame: each has stations of its own.

    Args:
        versions: `VERSION_SCHEMA`.
        issue_times: Aware, on the hour.

    Returns:
        The folded versions, and `station_id` in these, `number` of its issue time, `station`.
    """
    known = []
    for number, issued_for in enumerate(issue_times):
        hours = seen_before(issued_for)
        inside = pl.col("hour").is_between(hours.start, hours.end, closed="left")
        received = versions.filter(inside, pl.col("pulled_at") <= issued_for)
        known.append(received.with_columns(number=pl.lit(number), station="station_id"))
    every = pl.concat(known)
    apart = (
        every.select("number", "station")
        .unique()
        .with_columns(
            station_id=pl.format("{} {}", "number", pl.col("station").cast(pl.String)).cast(
                pl.Categorical()
            )
        )
    )
    named = every.drop("station_id").join(apart, on=["number", "station"])
    return fold_versions(named.select(versions.columns)), apart


def _in_each(neighbours: pl.DataFrame, apart: pl.DataFrame) -> pl.DataFrame:
    """The pairs of neighbours at each issue time, by the stations that it has of its own."""
    there = apart.select("number", neighbour="station", other="station_id")
    return (
        neighbours.join(apart, left_on="station_id", right_on="station", suffix="_own")
        .join(there, on=["number", "neighbour"])
        .select(station_id="station_id_own", neighbour="other")
        .match_to_schema(NEIGHBOURS)
    )
