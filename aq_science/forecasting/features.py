"""What a method learns from and predicts from: the history of a network, and the state of it.

The same arrays serve fitting, where every hour of the history is an example, and forecasting, where
the rows are issue times: a formula over a `State` is written once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from aq_science.forecasting.grid import Floats, Grid, Ints


@dataclass(frozen=True)
class History:
    """Readings of a network by the hour, and the series of one parameter that are meant.

    `grids` holds every parameter that was read, all over the same hours. `columns` are the numbers
    of the meant series in the grid of `parameter`; what is said of series below is in their order.
    """

    parameter: str
    grids: Mapping[str, Grid]
    columns: Ints
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Latitude and longitude of stations, as far as they are known, in degrees."""

    @classmethod
    def of(
        cls,
        parameter: str,
        grids: Mapping[str, Grid],
        stations: Sequence[str],
        positions: Mapping[str, tuple[float, float]] | None = None,
    ) -> "History":
        """The history of these stations.

        Args:
            parameter: Which of the grids is meant.
            grids: By parameter, over the same hours.
            stations: Ids of the meant stations, each with a column in that grid.
            positions: Latitude and longitude of any stations.

        Returns:
            The history with its series in the order of `stations`.
        """
        numbers = grids[parameter].stations
        columns = np.array([numbers[name] for name in stations], np.int64)
        return cls(parameter, grids, columns, positions or {})

    @property
    def grid(self) -> Grid:
        """The grid of the parameter itself, all stations of the network."""
        return self.grids[self.parameter]

    @cached_property
    def stations(self) -> list[str]:
        """Ids of the series' stations."""
        return [self.grid.names[column] for column in self.columns]

    @cached_property
    def values(self) -> Floats:
        """Hours x series."""
        return self.grid.values[:, self.columns]

    @property
    def hours(self) -> Ints:
        """Epoch hours of the rows."""
        return self.grid.first + np.arange(len(self.grid.values), dtype=np.int64)

    def only(self, series: Sequence[int] | Ints) -> "History":
        """The same readings with some of the series meant."""
        return replace(self, columns=self.columns[np.asarray(series, dtype=np.int64)])

    def between(self, start: int, end: int) -> "History":
        """The same series over the rows from `start` to before `end`."""
        cut = {name: grid.between(start, end) for name, grid in self.grids.items()}
        return replace(self, grids=cut)

    def examples(self, lag: int, seasonal: Mapping[str, Floats]) -> tuple["State", Floats]:
        """Every hour as seen `lag` hours before, and what then came.

        Args:
            lag: Hours.
            seasonal: By name of a seasonal method, its values like `values`.

        Returns:
            The state and the readings it leads to, both (hours - lag) x series.
        """
        actual = self.values[lag:]
        place = np.broadcast_to(np.arange(len(actual), dtype=np.int64)[:, None], actual.shape)
        state = State(
            history=self,
            column=np.broadcast_to(self.columns, actual.shape),
            place=place,
            known=place + 1,
            target=self.grid.first + lag + place,
            seasonal={
                name: Seasonals(last=table[: len(actual)], target=table[lag:])
                for name, table in seasonal.items()
            },
        )
        return state, actual


@dataclass(frozen=True)
class Seasonals:
    """What a seasonal method says of the hour of the last reading and of the predicted hour."""

    last: Floats
    target: Floats

    def take(self, index: Any) -> "Seasonals":
        """Some of the rows."""
        return Seasonals(self.last[index], self.target[index])


@dataclass(frozen=True)
class State:
    """What is known of many series at many moments; all arrays have one shape.

    In fitting that is hours x series; in forecasting one row an issue time and series. A method may
    read rows of the history's grids before `known` only.
    """

    history: History
    column: Ints
    """Column of the series in `history.grid`."""
    place: Ints
    """Row of its last reading in the grids; -1 where there is none."""
    known: Ints
    """Row from which on nothing is known yet, of any station."""
    target: Ints
    """The predicted hour, in epoch hours."""
    seasonal: Mapping[str, Seasonals] = field(default_factory=dict)
    """By name of a seasonal method; NaN where it says nothing."""

    def take(self, index: Any) -> "State":
        """Some of the rows or series, by a numpy index."""
        return State(
            self.history,
            self.column[index],
            self.place[index],
            self.known[index],
            self.target[index],
            {name: values.take(index) for name, values in self.seasonal.items()},
        )

    @cached_property
    def last(self) -> Floats:
        """The last reading."""
        return self._at(self.history.grid.values, 0)

    @cached_property
    def previous(self) -> Floats:
        """The reading of the hour before it."""
        return self._at(self.history.grid.values, 1)

    @cached_property
    def others(self) -> Floats:
        """The median of the other stations in the hour of the last reading."""
        return self._at(self._others(), 0)

    @cached_property
    def others_previous(self) -> Floats:
        """The median of the other stations in the hour before it."""
        return self._at(self._others(), 1)

    def _at(self, table: Floats, back: int) -> Floats:
        row = self.place - back
        return np.where(row >= 0, table[np.maximum(row, 0), self.column], np.nan)

    def _others(self) -> Floats:
        rows = np.unique(self.place)
        rows = np.unique(np.concatenate([rows, rows - 1]))
        return self.history.grid.others(rows[rows >= 0])
