"""The kinds of Datastreams that a station's parameter has."""

from __future__ import annotations

from dataclasses import dataclass

from aq_science.forecasting.table import FORECAST_PARAMETERS
from aq_science.parameters import PARAMETERS
from aq_science.tables.core import Table
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS


@dataclass(frozen=True)
class Series:
    """A kind of Datastream.

    Attributes:
        name: The end of the Datastream's identifier.
        title: For people.
        procedure: How its results come about, for people.
        table: Where they are.
        parameters: Those that have it.
        horizon: Hours ahead, of a forecast.
    """

    name: str
    title: str
    procedure: str
    table: Table
    parameters: tuple[str, ...] = tuple(PARAMETERS)
    horizon: int | None = None


SERIES = {
    one.name: one
    for one in (
        Series("hourly", "hourly means", "hourly means as measured", HOURLY_READINGS),
        Series("daily", "daily averages", "averages of the station's local days", DAILY_AVERAGES),
        Series(
            "forecast-1h",
            "forecast for the next hour",
            "forecasts for the next hour",
            FORECASTS,
            FORECAST_PARAMETERS,
            horizon=1,
        ),
        Series(
            "forecast-2h",
            "forecast for the hour after next",
            "forecasts for the hour after next",
            FORECASTS,
            FORECAST_PARAMETERS,
            horizon=2,
        ),
    )
}
