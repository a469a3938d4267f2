"""What the stations around say: whether a high value is an event, and who is out of step."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl

from aq_science.quality.core import (
    NEIGHBOURS,
    Criterion,
    Entry,
    MadeAmongNeighbours,
    found_at,
    made,
    nowhere,
)
from aq_science.stations import EARTH_KM
from aq_science.tables.types import DAY_ROOM, PARAMETER_SLOTS, SERIES, SERIES_DAY

# So many of a station's neighbours, any of them, tell of nearly every day that it is in step.
_FIRST = 3


def neighbours_within(stations: pl.DataFrame, kilometres: float) -> pl.DataFrame:
    """Pairs of stations that are at most so far apart.

    Args:
        stations: `station_id, latitude, longitude` (degrees); one without a position has no
            neighbours.
        kilometres: Greatest distance, along the surface.

    Returns:
        `NEIGHBOURS`, each pair in both directions.

    >>> stations = pl.DataFrame(
    ...     {
    ...         "station_id": ["a", "b", "c"],
    ...         "latitude": [43.77, 43.80, 45.46],
    ...         "longitude": [11.25, 11.20, 9.19],
    ...     }
    ... )
    >>> neighbours_within(stations, 20).sort("station_id").rows()
    [('a', 'b'), ('b', 'a')]
    """
    latitude, longitude = (pl.col(name).radians() for name in ("latitude", "longitude"))
    points = stations.drop_nulls(["latitude", "longitude"]).select(
        pl.col("station_id").cast(pl.Categorical()),
        x=EARTH_KM * latitude.cos() * longitude.cos(),
        y=EARTH_KM * latitude.cos() * longitude.sin(),
        z=EARTH_KM * latitude.sin(),
    )
    axes = ("x", "y", "z")
    # Straight through the earth: what lies within reach is in the same cube or one beside it.
    chord = 2 * EARTH_KM * np.sin(min(kilometres / EARTH_KM, np.pi) / 2)
    cubes = points.with_columns(
        (pl.col(axis) / chord).floor().cast(pl.Int64).alias(f"{axis}_cube") for axis in axes
    )
    around = pl.concat(
        cubes.with_columns(
            pl.col(f"{axis}_cube") + step for axis, step in zip(axes, steps, strict=True)
        )
        for steps in itertools.product((-1, 0, 1), repeat=3)
    )
    on = [f"{axis}_cube" for axis in axes]
    squared = pl.sum_horizontal((pl.col(axis) - pl.col(f"{axis}_right")) ** 2 for axis in axes)
    pairs = cubes.join(around, on=on).filter(
        pl.col("station_id") != pl.col("station_id_right"), squared <= chord**2
    )
    return pairs.select("station_id", neighbour="station_id_right").match_to_schema(NEIGHBOURS)


def unless_shared(entry: Entry, share: float) -> MadeAmongNeighbours:
    """What `entry` finds, but for high values that a neighbour shares: an event, and no fault.

    A value is shared where a neighbour has, of the same parameter and hour, one that reaches
    `share` of it and is not the very same: that would be a code that both write.
    """

    def not_shared(readings: pl.DataFrame, neighbours: pl.DataFrame) -> Criterion:
        criterion = made(entry, readings, neighbours)
        if neighbours.is_empty():
            return criterion
        place = readings.lazy().select(
            SERIES,
            station_id="station_id",
            hour="hour",
            value="value",
            row=pl.int_range(pl.len()),
            found=criterion.fires.fill_null(value=False),
        )
        found = place.filter("found").collect()
        if found.is_empty():
            return criterion
        beside = (
            found.select("row", "hour", "series", value="value")
            .with_columns(station_id=pl.col("series") // PARAMETER_SLOTS)
            .join(_numbered(neighbours), on="station_id")
            .with_columns(
                series=pl.col("neighbour") * PARAMETER_SLOTS + pl.col("series") % PARAMETER_SLOTS
            )
        )
        hours = beside["hour"].unique()
        others = place.filter(pl.col("hour").is_in(hours.implode())).select(
            "series", "hour", other="value"
        )
        shared = beside.join(others.collect(), on=["series", "hour"]).filter(
            pl.col("other") >= share * pl.col("value"), pl.col("other") != pl.col("value")
        )
        rows = shared["row"].unique().to_numpy()
        kept = np.ones(len(readings), np.bool_)
        kept[rows] = False
        return criterion._replace(fires=criterion.fires & pl.lit(pl.Series(kept)))

    return MadeAmongNeighbours(not_shared)


def out_of_step(
    *, times: float, beyond: dict[str, float], hours: int, stations: int
) -> MadeAmongNeighbours:
    """Fires on a station's whole UTC day that all its neighbours contradict.

    That is where the day's median is above `times * highest + beyond[parameter]`, or
    `times * median + beyond[parameter]` below `lowest`: the highest and lowest daily median of at
    least `stations` neighbours. Medians of days with at least `hours` values that the quantity can
    have (`runs`). One neighbour in step is enough to believe a station: there are sources that
    reach no further.

    Args:
        times: How often as high as the highest neighbour a station may be.
        beyond: And how much higher, by parameter in canonical units; others are not judged.
        hours: Values that a day's median needs.
        stations: Neighbours that have to agree.

    Returns:
        The criterion; `observed` is the day's median, `limit` the bound that it breaks.
    """

    def apart(readings: pl.DataFrame, neighbours: pl.DataFrame) -> Criterion:
        pairs = _numbered(neighbours)
        many = pairs.group_by("station_id").len().filter(pl.col("len") >= stations)
        pairs = pairs.join(many, on="station_id", how="semi")
        if pairs.is_empty():
            return nowhere()
        days = _medians(readings, pairs, list(beyond), hours)
        median = pl.col("median")
        margin = pl.col("parameter").replace_strict(beyond, return_dtype=pl.Float64)

        def above(highest: str) -> pl.Expr:
            return times * pl.col(highest) + margin

        def below(lowest: str) -> pl.Expr:
            # Not divided: of a lone row that gives another last digit than of many.
            return (pl.col(lowest) - margin) * (1 / times)

        def beside(pairs: pl.DataFrame, some: pl.DataFrame) -> pl.LazyFrame:
            there = days.lazy().select("parameter", "day", there="median", neighbour="station_id")
            return (
                pairs.lazy()
                .join(some.lazy(), on="station_id")
                .join(there, on=["parameter", "day", "neighbour"])
            )

        # A thousand stations of one town are a million pairs, of which few are ever made so.
        few = beside(pairs.group_by("station_id").head(_FIRST), days)
        in_step = few.filter(median <= above("there"), median >= below("there"))
        left = days.join(
            in_step.select("series_day").unique().collect(), on="series_day", how="anti"
        )
        odd = (
            beside(pairs, left)
            .group_by("series_day")
            .agg(
                pl.len(),
                pl.col("median").first(),
                pl.col("parameter").first(),
                highest=pl.col("there").max(),
                lowest=pl.col("there").min(),
            )
            .filter(pl.col("len") >= stations)
            .collect(engine="streaming")
            .with_columns(above=above("highest"), below=below("lowest"))
            .filter((median > pl.col("above")) | (median < pl.col("below")))
            .with_columns(limit=pl.when(median > pl.col("above")).then("above").otherwise("below"))
        )
        if odd.is_empty():
            return nowhere()
        rows = (
            readings.lazy()
            .select(SERIES_DAY, pl.int_range(pl.len()).alias("row"), pl.col("value"))
            .filter(pl.col("value").is_not_null())
            .join(odd.lazy(), on="series_day")
            .select("row", "median", "limit")
            .collect()
        )
        return found_at(
            len(readings), *(rows[name].to_numpy() for name in ("row", "median", "limit"))
        )

    return MadeAmongNeighbours(apart)


def _numbered(neighbours: pl.DataFrame) -> pl.DataFrame:
    """The pairs by the numbers of their stations, as in `SERIES`."""
    return neighbours.select(_station("station_id"), neighbour=_station("neighbour"))


def _station(name: str) -> pl.Expr:
    return pl.col(name).to_physical().cast(pl.Int64)


def _medians(
    readings: pl.DataFrame, pairs: pl.DataFrame, parameters: list[str], hours: int
) -> pl.DataFrame:
    """`series_day, station_id` (a number), `parameter, day, median` of the stations in pairs."""
    near = pl.concat([pairs["station_id"], pairs["neighbour"]]).unique()
    return (
        readings.lazy()
        .filter(
            pl.col("run_rows") > 0,
            pl.col("parameter").is_in(parameters),
            _station("station_id").is_in(near.implode()),
        )
        .select(SERIES_DAY, "parameter", "value")
        .group_by("series_day")
        .agg(pl.col("value").median().alias("median"), pl.len(), pl.col("parameter").first())
        .filter(pl.col("len") >= hours)
        .select(
            "series_day",
            "parameter",
            "median",
            station_id=pl.col("series_day") // DAY_ROOM // PARAMETER_SLOTS,
            day=pl.col("series_day") % DAY_ROOM,
        )
        .collect()
    )
