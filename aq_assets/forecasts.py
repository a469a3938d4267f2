"""Forecasts of a network: the two hours ahead of every hour."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.forecast_models import fitted_until
from aq_assets.panels import SHOWN, axis_label, short, station_names
from aq_assets.partitions import ONE_RUN, hourly_partitions, windows_around
from aq_assets.plots import Line, Panel, plot
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_resources.stores.raw_pulls import RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_science.forecasting.known import SEEN, forecast_readings, known_readings, seen_before
from aq_science.forecasting.network_models import NetworkModels
from aq_science.forecasting.predict import forecast_many
from aq_science.forecasting.table import forecast_mode, forecast_rows, forecast_series
from aq_science.quality.suite import neighbours_of
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.stations import STATIONS
from aq_science.versions import VERSION_SCHEMA
from aq_science.windows import DAY, HOUR, Window, midnight

# A model may serve this long if newer fits fail.
MODEL_DAYS = 7
# Issue times whose readings are held at once.
_SIDE_BY_SIDE = 24
# What the plot shows.
_PLOTTED, _PLOTTED_STATIONS = timedelta(days=2), 3
_SHOWN = (
    "station_id",
    "parameter",
    "horizon",
    "hour",
    "value",
    "lower_80",
    "upper_80",
    "unit",
    "model",
    "aqi_category",
    "who_2021_probability",
)


def build_forecasts(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/forecasts`: hours H and H+1, issued for every hour H."""

    @asset(
        **described(
            config,
            "forecasts",
            io_manager=TABLES,
            kinds={"duckdb", "prophet", "lightgbm"},
            table=FORECASTS,
        ),
        partitions_def=hourly_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            name: dg.AssetIn(
                [config.name, name], partition_mapping=windows_around(0, 0), input_manager_key=FILES
            )
            for name in ("hourly_readings", "forecast_models", "network_models", "raw_pulls")
        },
        description=(
            f"Forecasts of {title(config)} for the issue hour and the next, from readings whose "
            "hour had ended by then. A hindcast sees only what had been received by its issue time."
        ),
    )
    def forecasts(
        context: dg.AssetExecutionContext,
        hourly_readings: DayFiles,
        forecast_models: DayFiles,
        network_models: DayFiles,
        raw_pulls: RawPullStore,
        services: dg.ResourceParam[Services],
    ) -> FrameStream:
        reader = VersionReader(raw_pulls, services.client(config.name))
        reference_c = services.settings.gas_reference_celsius
        stations = services.warehouse.rows(config.name, STATIONS)
        near = neighbours_of(stations)
        tally = ForecastTally(station_names(stations))

        def forecast(hours: Window) -> pl.DataFrame:
            issued_at = services.now()
            past = Window(hours.start - SEEN, hours.end)
            readings = forecast_readings(hourly_readings.scan(past))
            used = served_by(hours, services.settings.forecast_models_until)
            models = forecast_models.scan_days(forecast_models.current(used)).collect()
            network = NetworkModels(fitted_until(network_models, used))
            times = [hour.start for hour in hours.chunks(HOUR)]
            live = all(forecast_mode(time, issued_at) == "live" for time in times)
            # Hindcasts alone ask when a reading was received, which takes parsing the pulls.
            judged = Window(seen_before(hours.start).start, hours.end)
            versions = VERSION_SCHEMA.to_frame() if live else reader.read(judged)
            known = known_readings(
                config.name, readings, versions, times, issued_at, reference_c, near
            )

            def made_of(one: tuple[list[datetime], pl.DataFrame]) -> pl.DataFrame:
                return forecast_many(models, one[1], one[0], _series(models, one[1]), network)

            made: list[pl.DataFrame] = []
            with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
                while some := list(islice(known, _SIDE_BY_SIDE)):
                    made += pool.map(made_of, some)
            frame = forecast_rows(pl.concat(made), config.name, issued_at, reference_c)
            if len(frame):
                tally.recent = readings
            return frame

        return chunked(context, services.chunk, forecast, tally)

    return forecasts


def served_by(hours: Window, until: date | None) -> Window:
    """The days whose models may serve some issue times.

    Args:
        hours: The issue times.
        until: The last day of models that is to be used, whatever came after.

    Returns:
        As many days as a model may serve, up to the issue times or that day.
    """
    end = hours.end if until is None else min(hours.end, midnight(until) + DAY)
    return Window(min(hours.start, end - DAY) - MODEL_DAYS * DAY, end)


def _series(models: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """Pairs with a model or a recent reading."""
    return pl.concat([models.select("station_id", "parameter"), forecast_series(readings)]).unique()


class ForecastTally(Tally):
    """Counts by mode, the newest forecasts, and the last two days with their forecast."""

    newest_by = "issued_for"

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.modes: Counter[str] = Counter()
        # The readings behind the newest forecasts.
        self.recent = pl.DataFrame()

    def count(self, frame: pl.DataFrame) -> None:
        self.modes.update(dict(frame.group_by("mode").len().iter_rows()))

    def counts(self) -> dict[str, Any]:
        return {
            "live": self.modes["live"],
            "hindcasts": self.modes["hindcast"],
            "without_value": self.newest["value"].null_count() if len(self.newest) else 0,
        }

    def tables(self) -> dict[str, pl.DataFrame]:
        return {"newest": self.newest.select(_SHOWN)}

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:  # noqa: ARG002
        panels = [
            Panel(axis_label(parameter), lines)
            for parameter in SHOWN
            if (lines := list(self._lines(parameter)))
        ]
        title = "Last two days and forecast with its 80 % interval, UTC"
        return {"plot": plot(title, panels)} if panels else {}

    def _lines(self, parameter: str) -> Iterator[Line]:
        issued_for = self.newest["issued_for"][0]
        newest = self.newest.filter(pl.col("parameter") == parameter).sort("hour")
        valid = self.recent.filter(
            pl.col("parameter") == parameter,
            pl.col("flag") == "valid",
            pl.col("hour").is_between(issued_for - _PLOTTED, issued_for, closed="left"),
        ).sort("hour")
        for station in newest["station_id"].unique().sort().head(_PLOTTED_STATIONS):
            name = short(self.names.get(str(station), str(station)))
            past = valid.filter(pl.col("station_id") == station)
            ahead = newest.filter(pl.col("station_id") == station)
            interval = (ahead["lower_80"].to_list(), ahead["upper_80"].to_list())
            yield Line(name, past["hour"].to_list(), past["value"].to_list())
            yield Line(name, ahead["hour"].to_list(), ahead["value"].to_list(), interval)
