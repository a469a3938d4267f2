"""Does the sensor still move: days made mostly of exact zeros, and runs of one value."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from aq_science.quality.core import Criterion, found_at, nowhere
from aq_science.tables.types import SERIES_DAY

_DAY = pl.col("hour").dt.epoch("d").cast(pl.Int64)
_GROUP = ("station_id", "parameter", _DAY)
# Equal values in a row that are always left alone.
_SHORTEST_RUN = 3


def flat_line_of_zeros(
    readings: pl.DataFrame, *, at_least: Mapping[str, int], share: float
) -> Criterion:
    """Fires on a zero where the sensor counts as stuck or clipped on that UTC day.

    That is where of the `n` hours of a station, parameter and UTC day that have a value, `z` are
    exactly zero and `z >= at_least[parameter]` and `z >= share * n`.

    Args:
        readings: `station_id, parameter, hour, value`; a day is judged by the rows that are here.
        at_least: Number of zeros (hours) from which a day counts, by parameter.
        share: Share of the day's hours with a value that must be zero, 0..1.

    Returns:
        The criterion for these readings; `observed` is `z`, `limit` the least `z` that fires.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> hours = pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 1, 3), "1h")
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.lit("co", PARAMETER),
    ...     hour=hours.cast(INSTANT),
    ...     value=pl.Series([0.0, 0.0, 0.0, 5.0]),
    ... )
    >>> zeros = flat_line_of_zeros(readings, at_least={"co": 1}, share=0.75)
    >>> readings.select(zeros.fires).to_series().to_list()
    [True, True, True, False]
    """
    value = pl.col("value")
    enough = pl.col("parameter").replace_strict(at_least, return_dtype=pl.UInt32)
    days = (
        readings.lazy()
        .filter(value == 0)
        .group_by(SERIES_DAY)
        .agg(pl.col("parameter").first(), zeros=pl.len())
        .filter(pl.col("zeros") >= enough)
        .collect()
    )
    present = value.is_not_null().sum().over(_GROUP)
    observed = (value == 0).sum().over(_GROUP).cast(pl.Float64)
    limit = pl.max_horizontal(enough.cast(pl.Float64), share * present)
    if days.is_empty():
        return nowhere()
    counted = (
        readings.lazy()
        .filter(value.is_not_null())
        .select(SERIES_DAY)
        .filter(pl.col("series_day").is_in(days["series_day"].implode()))
        .group_by("series_day")
        .agg(present=pl.len())
        .collect()
    )
    stuck = days.join(counted, on="series_day").filter(pl.col("zeros") >= share * pl.col("present"))
    on_stuck_day = SERIES_DAY.is_in(stuck["series_day"].implode())
    return Criterion((value == 0) & on_stuck_day, observed, limit)


def flat_line(
    readings: pl.DataFrame, *, chance: float, change: float, pollutants: list[str]
) -> Criterion:
    """Fires on runs of one value, other than zero, that are too long to be chance.

    How long depends on the resolution at which the sensor reports, since whole numbers repeat at a
    clean station and decimals hardly ever do (Kaffashzadeh, AMT 16, 3085, 2023): from one hour to
    the next a value `v` changes by about `change * |v|` (Laplace), so that it stays the same with
    `p = 1 - exp(-resolution / (2 * change * |v|))`, and `n` in a row are suspect where
    `p ** (n - 1) <= chance`. Below zero, where noise alone is left, `p` is a quarter.

    Args:
        readings: `station_id, parameter, hour, value, value_native, run_rows`. The resolution is
            that of the native values of the station and parameter on the UTC day and those beside
            it: a power of ten from 0.001 to 1, or up to 100 where several values show it.
        chance: Greatest probability of a run that fires.
        change: Typical change from an hour to the next, as a share of the value.
        pollutants: Parameters that are judged; weather may honestly stand still.

    Returns:
        The criterion for these readings; `observed` is `run_rows`, `limit` the least `n` to fire.

    >>> from aq_science.quality.runs import with_runs
    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> hours = pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 1, 23), "1h")
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.lit("pm25", PARAMETER),
    ...     hour=hours.cast(INSTANT),
    ...     value=pl.Series([2.0] * 12 + [37.0] * 12),
    ... ).with_columns(value_native="value", coverage=pl.lit(None, pl.Float64))
    >>> stuck = flat_line(with_runs(readings), chance=1e-9, change=0.1, pollutants=["pm25"])
    >>> readings = with_runs(readings).select(stuck.fires)
    >>> readings.to_series().to_list() == [False] * 12 + [True] * 12
    True
    """
    native, rows = pl.col("value_native"), pl.col("run_rows")
    repeated = (rows >= _SHORTEST_RUN) & (native != 0) & pl.col("parameter").is_in(pollutants)
    places = readings.select(row=repeated.fill_null(value=False).arg_true())
    few = readings.select("station_id", "parameter", "hour", native, rows)[places["row"]]
    judged = few.select(SERIES_DAY, native, rows).hstack(places)
    if judged.is_empty():
        return nowhere()
    steps = pl.col("resolution")
    stays = pl.when(native < 0).then(0.25).otherwise(1 - (-steps / (2 * change * native)).exp())
    limit = pl.max_horizontal(
        1 + (math.log(chance) / stays.log()).ceil(), pl.lit(float(_SHORTEST_RUN))
    )
    resolution = _resolutions(readings, judged["series_day"].unique())
    judged = judged.join(resolution, on="series_day").with_columns(limit=limit)
    judged = judged.filter(rows >= pl.col("limit"))
    if judged.is_empty():
        return nowhere()
    return found_at(
        len(readings), *(judged[name].to_numpy() for name in ("row", "run_rows", "limit"))
    )


# Steps in which sensors report, and how many values must agree on one that is coarser than 1.
_STEPS = (100.0, 10.0, 1.0, 0.1, 0.01)
_AGREEING = 4


def _resolutions(readings: pl.DataFrame, series_days: pl.Series) -> pl.DataFrame:
    """`series_day` and `resolution` of some days of series, in native units."""
    native = pl.col("value_native")
    # What a day shows counts for the days beside it as well.
    beside = (-1, 0, 1)
    looked_at = pl.concat([series_days + offset for offset in beside]).unique()
    distinct = (
        readings.lazy()
        .filter(SERIES_DAY.is_in(looked_at.implode()), native.is_finite(), native != 0)
        .select(SERIES_DAY, native=native)
        .unique()
    )
    around = pl.concat(
        distinct.with_columns(pl.col("series_day") + offset) for offset in beside
    ).unique()
    value = pl.col("native")
    fits = {step: ((value / step).round() * step - value).abs().max() < 1e-9 for step in _STEPS}
    return (
        around.filter(pl.col("series_day").is_in(series_days.implode()))
        .group_by("series_day")
        .agg(
            resolution=pl.coalesce(
                *(
                    pl.when(fit & ((pl.len() >= _AGREEING) | (step <= 1.0))).then(step)
                    for step, fit in fits.items()
                ),
                0.001,
            )
        )
        .collect()
    )
