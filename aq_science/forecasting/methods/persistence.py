"""The next hours are as the last reading."""

from collections.abc import Sequence

from aq_science.forecasting.features import State
from aq_science.forecasting.grid import Floats, Ints
from aq_science.forecasting.methods.protocol import Learned
from aq_science.forecasting.schema import LAGS

MAX_LAG = 8
"""Hours. "Same as the last reading" beyond a third of a day ignores the daily cycle."""


class Persistence:
    """The last reading."""

    name = "persistence"
    lags: tuple[int, ...] = tuple(lag for lag in LAGS if lag <= MAX_LAG)
    plain = True

    def fit(self, state: State, actual: Floats) -> Sequence[Learned]:  # noqa: ARG002
        """Nothing is learned."""
        return [{}] * actual.shape[1]

    def predict(
        self,
        learned: Sequence[Learned],  # noqa: ARG002
        of: Ints,  # noqa: ARG002
        state: State,
    ) -> Floats:
        """The last reading, whatever was learned; see `protocol.Method`.

        Args:
            learned: Not used.
            of: Not used.
            state: What is known.

        Returns:
            Values in the parameter's unit, shaped as the state.
        """
        return state.last
