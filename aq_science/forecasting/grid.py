"""Readings spread out on every hour: the form in which all calculations take them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HOUR_SECONDS = 3600

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_hours(moment: datetime) -> int:
    """Whole hours since 1970 of an aware datetime that lies on the hour; raises otherwise."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; issue times are aware, in UTC")
    hours, rest = divmod(moment - _EPOCH, timedelta(hours=1))
    if rest:
        raise ValueError(f"{moment.isoformat()} is not on the hour")
    return hours


def beyond_hour(readings: pl.DataFrame) -> pl.DataFrame:
    """Series whose hours begin between full hours of UTC, with `ahead`, the time to the next one.

    Theirs are full hours of a zone of half or quarter hours. In the grid each stands at the full
    hour after its beginning, so that it has ended by every issue time that sees it.
    """
    minute = pl.col("hour").dt.minute()
    return (
        readings.lazy()
        .filter(minute != 0)
        .group_by(pl.col("station_id").cast(pl.String), pl.col("parameter").cast(pl.String))
        .agg(ahead=pl.duration(minutes=60 - minute.sort_by("hour").last().cast(pl.Int64)))
        .collect()
    )


def usable(readings: pl.DataFrame, first: int, end: int) -> pl.DataFrame:
    """The readings that count: finite and flagged `valid`.

    Args:
        readings: Columns station_id, parameter, hour (UTC start of the hour), value and flag.
        first: Epoch hour from which readings count.
        end: Epoch hour before which they do.

    Returns:
        station_id and parameter as strings, at (epoch hour, see `beyond_hour`) and value.
    """
    return received(readings.filter(pl.col("flag").cast(pl.String) == "valid"), first, end)


def received(readings: pl.DataFrame, first: int, end: int) -> pl.DataFrame:
    """The finite readings, whatever their flag; arguments and result as of `usable`.

    Args:
        readings: As there.
        first: Epoch hour from which readings count.
        end: Epoch hour before which they do.

    Returns:
        station_id and parameter as strings, at and value.
    """
    return readings.select(
        pl.col("station_id").cast(pl.String),
        pl.col("parameter").cast(pl.String),
        (pl.col("hour").dt.epoch("s") + HOUR_SECONDS - 1)
        .floordiv(HOUR_SECONDS)
        .cast(pl.Int64)
        .alias("at"),
        pl.col("value").cast(pl.Float64),
    ).filter(pl.col("value").is_finite(), pl.col("at").is_between(first, end, closed="left"))


def series_keys(series: pl.DataFrame) -> pl.DataFrame:
    """The distinct (station_id, parameter) pairs as strings, sorted."""
    return (
        series.select(pl.col("station_id").cast(pl.String), pl.col("parameter").cast(pl.String))
        .unique()
        .sort("parameter", "station_id")
    )


@dataclass(frozen=True)
class Grid:
    """Readings of one parameter on every hour from `first` (epoch hours): NaN where there is none.

    `values[i, j]` is hour `first + i` at the station whose number in `stations` is j.
    """

    first: int
    stations: dict[str, int]
    values: Floats

    @cached_property
    def names(self) -> list[str]:
        """The stations in the order of the columns."""
        return sorted(self.stations, key=self.stations.__getitem__)

    def between(self, start: int, end: int) -> "Grid":
        """The same stations over the rows from `start` to before `end`."""
        return Grid(self.first + start, self.stations, self.values[start:end])

    def others(self, rows: Ints) -> Floats:
        """A table like `values` of the median over the other stations, filled in these rows."""
        medians, done = self._medians
        new = np.unique(rows[~done[rows]])
        medians[new] = median_of_others(self.values[new])
        done[new] = True
        return medians

    @cached_property
    def _medians(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        # A median of the others is a sort: worked out for the hours that are asked for.
        return np.full_like(self.values, np.nan), np.zeros(len(self.values), dtype=np.bool_)


def grids(readings: pl.DataFrame, series: pl.DataFrame, first: int, end: int) -> dict[str, Grid]:
    """Spread readings out, a grid for each parameter.

    Args:
        readings: As `usable` gives them.
        series: As `series_keys` gives them; these stations have a column even without a reading.
        first: Epoch hour of the first row.
        end: Epoch hour after the last row.

    Returns:
        The grid of every parameter read or asked for, all over the same hours.
    """
    asked = series.get_column("parameter").unique(maintain_order=True).to_list()
    read = readings.get_column("parameter").unique().sort().to_list()
    return {
        name: _grid(
            readings.filter(pl.col("parameter") == name),
            series.filter(pl.col("parameter") == name).get_column("station_id").to_list(),
            first,
            end,
        )
        for name in dict.fromkeys([*asked, *read])
    }


def _grid(readings: pl.DataFrame, stations: list[str], first: int, end: int) -> Grid:
    present = readings.get_column("station_id").unique().sort().to_list()
    columns = {name: j for j, name in enumerate(dict.fromkeys([*stations, *present]))}
    values = np.full((end - first, len(columns)), np.nan)
    column = readings.get_column("station_id").replace_strict(columns, return_dtype=pl.Int64)
    values[readings.get_column("at").to_numpy() - first, column.to_numpy()] = readings.get_column(
        "value"
    ).to_numpy()
    return Grid(first, columns, values)


def median_of_others(values: Floats) -> Floats:
    """For every hour (row) and station (column), the median over the other stations present.

    NaN where no other station has a value. One sort a row: leaving one value out only shifts the
    middle of the sorted row by at most one place.
    """
    columns = values.shape[1]
    if columns < 2:
        return np.full_like(values, np.nan)
    order = np.argsort(values, axis=1)  # NaN last
    ordered = np.take_along_axis(values, order, axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(columns), values.shape), axis=1)
    there = ~np.isnan(values)
    remaining = there.sum(axis=1, keepdims=True) - there  # others present
    own = np.where(there, rank, columns)  # absent: nothing to skip

    def place(index: Ints) -> Floats:
        at = np.clip(index + (index >= own), 0, columns - 1)
        return np.take_along_axis(ordered, at, axis=1)

    middle = (place((remaining - 1) // 2) + place(remaining // 2)) / 2
    return np.where(remaining > 0, middle, np.nan)
