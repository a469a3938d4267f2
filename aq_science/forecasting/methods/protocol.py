"""What a forecast method is. The rest of the package knows these protocols and no method by name.

Four kinds, by what they start from: a `Method` from the last reading, a `NetworkMethod` from what
all stations last read, a `Seasonal` from the hour alone, a `LastResort` from the other stations.
Whatever they learn is data that JSON can hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from aq_science.forecasting.features import History, State
from aq_science.forecasting.grid import Floats, Grid, Ints

Learned: TypeAlias = Any
"""What `json.loads` gives: dictionaries, lists, numbers, strings."""


@dataclass(frozen=True)
class Failed:
    """A fit of one series that broke."""

    reason: str


MAX_REASON = 300


def failed_because(reason: str) -> str:
    """What a model's `reason` says of a fit that broke."""
    return f"fit failed: {reason}"[:MAX_REASON]


Fitted: TypeAlias = Learned | Failed | None
"""None: too little to learn from, so that the method is no candidate."""


class Method(Protocol):
    """Forecasts from the last reading, at the lags it serves."""

    name: str
    """As it stands in `model`."""
    lags: tuple[int, ...]
    """Those of `schema.LAGS` at which it competes."""
    plain: bool
    """Whether it also serves series too short, flat or silent for a competition."""

    def fit(self, state: State, actual: Floats) -> Sequence[Fitted]:
        """Learn from examples of one lag, hours x series.

        Args:
            state: What was known.
            actual: What then came, in the parameter's unit, NaN where there was no reading.

        Returns:
            For each series what was learned.
        """
        ...

    def predict(self, learned: Sequence[Learned], of: Ints, state: State) -> Floats:
        """Forecasts, shaped as the state, NaN where impossible.

        Args:
            learned: What was learned, of any number of series.
            of: For each row (or, in fitting, each series) the number of its entry in `learned`.
            state: What is known.

        Returns:
            Values in the parameter's unit.
        """
        ...


@dataclass(frozen=True)
class Prediction:
    """Forecasts, and what their intervals are multiples of."""

    value: Floats
    size: Floats
    """In the parameter's unit, shaped as the values, NaN where they are."""


class NetworkMethod(Protocol):
    """Forecasts from the last readings of a network, one model for all series of a parameter.

    It is fitted over years where there are years, apart from the models of the series, and competes
    among them with what it had learned before the hold-out.
    """

    name: str
    """As it stands in `model`."""
    lags: tuple[int, ...]
    """Those of `schema.LAGS` at which it competes."""

    def fit(self, history: History, lag: int) -> Fitted:
        """Learn from every hour of the meant series.

        Args:
            history: Readings of the network.
            lag: Hours from the last reading to the predicted one.

        Returns:
            What was learned; None where there is too little to learn from.
        """
        ...

    def predict(self, learned: Learned, state: State) -> Prediction:
        """Forecasts, NaN where impossible.

        Args:
            learned: What was learned at the lag.
            state: What is known, of any series of the network.

        Returns:
            Values and sizes in the parameter's unit, shaped as the state.
        """
        ...


class Seasonal(Protocol):
    """Forecasts from the hour alone: served where the last reading is too old, and a feature."""

    name: str
    """As it stands in `model`."""
    plain: bool
    """Whether it also serves series too short, flat or silent for a competition."""
    reach: int | None
    """Hours past the last training reading for which it counts; None: any."""

    def fit(self, history: History) -> Sequence[Fitted]:
        """For each series of the history what was learned."""
        ...

    def at(self, learned: Sequence[Learned], of: Ints, hours: Ints) -> Floats:
        """Values of hours.

        Args:
            learned: What was learned, of any number of series.
            of: For each place on the last axis of `hours` the number of its entry in `learned`.
            hours: Epoch hours, any shape.

        Returns:
            Values in the parameter's unit, shaped as `hours`.
        """
        ...


@dataclass(frozen=True)
class Spread:
    """A forecast from other stations, with interval quantiles in units of `scale`."""

    value: float
    scale: float
    quantiles: dict[str, float]


class LastResort(Protocol):
    """Forecasts a station without any reading from the others' latest."""

    name: str
    """As it stands in `model`."""

    def predict(self, parameter: str, known: Grid) -> Spread | None:
        """One forecast for every such station.

        Args:
            parameter: Canonical name.
            known: What is known at the issue time, which follows the last row.

        Returns:
            Value and interval in the parameter's unit; None where nothing is known.
        """
        ...


def fit_each(count: int, fit_one: Callable[[int], Learned | None]) -> list[Fitted]:
    """Fit series one by one, so that a broken one does not sink the others."""
    fitted: list[Fitted] = []
    for series in range(count):
        try:
            fitted.append(fit_one(series))
        except Exception as error:  # noqa: BLE001 (whatever Stan, Prophet, pandas or numpy raise)
            fitted.append(Failed(f"{type(error).__name__}: {error}"))
    return fitted
