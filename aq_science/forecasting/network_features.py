"""What a model of a whole network sees of a series: its own past day, its other parameters, its
neighbours, the network and the calendar.

Every feature looks back from the hour of the last reading, never past it. What is absent stays
absent (NaN): nothing is filled in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import Floats, Ints

Matrix = npt.NDArray[np.float32]

OWN_HOURS = 24
"""Hours that the own past reaches back, a daily cycle."""

OWN_STEPS = (1, 2, 3, 4, 5, 6, 8, 12, 23, 24)
"""Hours back from which the change to the last reading is seen."""

MEANS = (3, 6, 12, 24)
RANGES = (6, 24)
"""Hours over which means, and the highest and lowest reading, are seen against the last one."""

OTHER_STEPS = (1, 3)
"""Hours back from which the change of another parameter is seen."""

NEIGHBOURS = 10
"""Stations whose last two steps are seen one by one."""

MIN_COMMON_STEPS = 100
"""Pairs of steps from which the likeness of two stations is taken."""

CLIPPED = (0.01, 0.99)
"""Steps beyond these quantiles count as the quantile, so that single peaks decide no likeness."""

DAYS_OF_YEAR = 365.25
EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; days of the week count from Monday."""


@dataclass(frozen=True)
class Layout:
    """What a model's features are made of, so that they mean the same in fitting and serving."""

    stations: Sequence[str]
    """In the order of their codes."""
    neighbours: Sequence[Sequence[int]]
    """For each station the codes of those most like it, nearest first, equally many."""
    parameters: Sequence[str]
    """Beside the one that is forecast."""

    @classmethod
    def of(cls, history: History) -> "Layout":
        """The layout for a history: its stations, and the parameters that were read in it."""
        read = [
            name
            for name, grid in sorted(history.grids.items())
            if name != history.parameter and not np.isnan(grid.values).all()
        ]
        names = history.grid.names
        away = distances([history.positions.get(name) for name in names])
        return cls(names, nearest(history.grid.values, away).tolist(), read)

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "stations": list(self.stations),
            "neighbours": [list(codes) for codes in self.neighbours],
            "parameters": list(self.parameters),
        }

    def names(self) -> list[str]:
        """Of the features, in the order of the matrix's columns."""
        own = ["last", *(f"step_{k}" for k in OWN_STEPS), *(f"mean_{k}" for k in MEANS)]
        own += [f"{end}_{k}" for k in RANGES for end in ("highest", "lowest")]
        calendar = ["hour", "weekday", "year_sine", "year_cosine", "station"]
        network = ["others", "others_step_1", "others_step_2", "others_step_3"]
        near = [
            f"neighbour_{n}{what}"
            for n in range(len(self.neighbours[0]) if self.neighbours else 0)
            for what in ("", "_step_1", "_step_2")
        ]
        others = [
            f"{name}{what}"
            for name in self.parameters
            for what in ("", *(f"_step_{k}" for k in OTHER_STEPS), "_network", "_network_step")
        ]
        return own + calendar + network + near + others


def distances(positions: Sequence[tuple[float, float] | None]) -> Floats:
    """Chords between stations on a sphere of radius 1, infinite where a position is not known."""
    known = np.array([place or (np.nan, np.nan) for place in positions], dtype=np.float64)
    latitude, longitude = np.radians(known.reshape(-1, 2)).T
    points = np.stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ]
    )
    apart: Floats = np.sqrt(((points[:, :, None] - points[:, None, :]) ** 2).sum(axis=0))
    return np.where(np.isnan(apart), np.inf, apart)


def nearest(values: Floats, away: Floats) -> Ints:
    """For each station the others most like it, most like first.

    Likeness is the correlation of a station's steps with those of the other an hour before: what is
    of use to a forecast is who is ahead. Those alike, and those of which too little is known to
    tell, are in the order of distance.

    Args:
        values: Hours x stations, NaN where there is no reading.
        away: Stations x stations, as `distances` gives them.

    Returns:
        Stations x at most `NEIGHBOURS`: numbers of columns.
    """
    count = values.shape[1]
    likeness = lead_correlation(values)
    np.fill_diagonal(likeness, -np.inf)
    order = np.array(
        [np.lexsort((apart, -like)) for apart, like in zip(away, likeness, strict=True)]
    ).reshape(count, count)
    return order[:, : min(NEIGHBOURS, count - 1)]


def lead_correlation(values: Floats) -> Floats:
    """Correlation of each station's hourly steps (rows) with another's of the hour before.

    `values`: hours x stations. -1 where there are too few hours of both, or no variation.
    """
    steps = np.diff(values, axis=0)
    there = ~np.isnan(steps)
    for column, known in zip(steps.T, there.T, strict=True):
        if known.any():
            np.clip(column, *np.quantile(column[known], CLIPPED), out=column)
    own, ahead = steps[1:], steps[:-1]
    known_own, known_ahead = there[1:].astype(np.float64), there[:-1].astype(np.float64)
    x, y = np.nan_to_num(own), np.nan_to_num(ahead)
    common = known_own.T @ known_ahead
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = x.T @ known_ahead / common, known_own.T @ y / common
        covariance = x.T @ y / common - mean_x * mean_y
        spread_x = (x**2).T @ known_ahead / common - mean_x**2
        spread_y = known_own.T @ (y**2) / common - mean_y**2
        found: Floats = covariance / np.sqrt(spread_x * spread_y)
    found[~np.isfinite(found) | (common < MIN_COMMON_STEPS)] = -1.0
    return found


def network_features(history: History, layout: Layout, place: Ints, column: Ints) -> Matrix:
    """The features of series at the hours of their last readings.

    Args:
        history: Readings.
        layout: Of the model.
        place: Rows of the last readings in the grids, one dimension.
        column: As many columns of the series in the grid of the parameter.

    Returns:
        Rows x `layout.names()`; NaN where something was not read.
    """
    codes = _codes(history.grid.stations, layout)
    own = history.grid.values
    features = [
        *_own(own, place, column),
        *_calendar(history.grid.first + place),
        codes[column].astype(np.float64),
        *_others(own, place, column),
        *_neighbours(history, layout, place, codes[column]),
    ]
    for parameter in layout.parameters:
        features += _other(history, parameter, place, column)
    out = np.empty((len(place), len(features)), dtype=np.float32)
    for number, feature in enumerate(features):
        out[:, number] = feature
    return out


def _codes(stations: Mapping[str, int], layout: Layout) -> Floats:
    """By column of the grid the code of its station; NaN of one that the model does not know."""
    known = {name: code for code, name in enumerate(layout.stations)}
    codes = np.full(len(stations), np.nan)
    for name, column in stations.items():
        codes[column] = known.get(name, np.nan)
    return codes


def _at(values: Floats, row: Ints, column: Ints) -> Floats:
    """Values of rows and columns, NaN where either is negative."""
    there = (row >= 0) & (column >= 0)
    return np.where(there, values[np.maximum(row, 0), np.maximum(column, 0)], np.nan)


def _own(values: Floats, place: Ints, column: Ints) -> Iterator[Floats]:
    last = _at(values, place, column)
    total, count = last.copy(), np.ones(len(last))
    highest, lowest = last.copy(), last.copy()
    steps, means, ranges = [], [], []
    for back in range(1, OWN_HOURS + 1):
        value = _at(values, place - back, column)
        if back in OWN_STEPS:
            steps.append(last - value)
        there = ~np.isnan(value)
        total += np.where(there, value, 0.0)
        count += there
        highest, lowest = np.fmax(highest, value), np.fmin(lowest, value)
        if back + 1 in MEANS:
            means.append(total / count - last)
        if back + 1 in RANGES:
            ranges += [highest - last, lowest - last]
    yield from (last, *steps, *means, *ranges)


def _calendar(hours: Ints) -> Iterator[Floats]:
    angle = 2 * np.pi * (hours / 24 / DAYS_OF_YEAR)
    yield (hours % 24).astype(np.float64)
    yield ((hours // 24 + EPOCH_WEEKDAY) % 7).astype(np.float64)
    yield np.sin(angle)
    yield np.cos(angle)


def _others(values: Floats, place: Ints, column: Ints) -> Iterator[Floats]:
    """The mean of the other stations against the own reading, and its steps."""
    total, count = np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1)

    def mean(back: int) -> Floats:
        row = place - back
        own = _at(values, row, column)
        there = ~np.isnan(own)
        of_all = np.where(row >= 0, total[np.maximum(row, 0)], np.nan)
        number = count[np.maximum(row, 0)] - there
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(number > 0, (of_all - np.where(there, own, 0.0)) / number, np.nan)

    now = mean(0)
    yield now - _at(values, place, column)
    for back in (1, 2, 3):
        yield now - mean(back)


def _neighbours(history: History, layout: Layout, place: Ints, code: Floats) -> Iterator[Floats]:
    """The reading of each neighbour against the own one, and its last two steps."""
    values = history.grid.values
    columns = np.array(
        [history.grid.stations.get(name, -1) for name in layout.stations], dtype=np.int64
    )
    near = np.array(layout.neighbours, dtype=np.int64).reshape(len(columns), -1)
    known = ~np.isnan(code)
    own_code = np.where(known, code, 0).astype(np.int64)
    own = _at(values, place, np.where(known, columns[own_code], -1))
    for rank in range(near.shape[1]):
        column = np.where(known, columns[near[own_code, rank]], -1)
        now, before, earlier = (_at(values, place - back, column) for back in (0, 1, 2))
        yield now - own
        yield now - before
        yield before - earlier


def _other(history: History, parameter: str, place: Ints, column: Ints) -> Iterator[Floats]:
    """Another parameter at the station, and its mean over the network."""
    grid = history.grids.get(parameter)
    if grid is None:
        yield from [np.full(len(place), np.nan)] * (len(OTHER_STEPS) + 3)
        return
    names = history.grid.names
    columns = np.array([grid.stations.get(name, -1) for name in names], dtype=np.int64)
    own = columns[column]
    now = _at(grid.values, place, own)
    yield now
    for back in OTHER_STEPS:
        yield now - _at(grid.values, place - back, own)
    count = (~np.isnan(grid.values)).sum(axis=1)
    mean = np.where(count > 0, np.nansum(grid.values, axis=1) / np.maximum(count, 1), np.nan)
    over_all = mean[place]
    yield over_all
    yield over_all - np.where(place > 0, mean[np.maximum(place - 1, 0)], np.nan)
