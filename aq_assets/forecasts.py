"""Forecasts of a network: what is fitted once a day, and the two hours ahead of every hour."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.common import (
    FILES,
    ONE_RUN,
    PLATFORM,
    TABLES,
    Progress,
    daily_partitions,
    described,
    hourly_partitions,
    table_metadata,
    title,
    window_of,
    windows_around,
)
from aq_assets.plots import Line, plot
from aq_resources.io_managers import DayFiles, FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_resources.raw_pulls import RawPullStore
from aq_resources.tables import FORECAST_MODELS_SCHEMA, FORECASTS
from aq_resources.versions import VersionReader
from aq_science.forecast_common import TRAINING_DAYS
from aq_science.forecast_fit import fit_models
from aq_science.forecast_table import (
    FORECAST_PARAMETERS,
    forecast_mode,
    forecast_rows,
    forecast_series,
)
from aq_science.forecasting import forecast_many
from aq_science.readings import VERSION_SCHEMA, fold_versions, hourly_readings
from aq_science.windows import DAY, HOUR, Window

# A model may serve this long if newer fits fail; readings this far back are all a forecast needs.
MODEL_DAYS = 7
_READ = ("station_id", "parameter", "hour", "value", "flag")
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
)


def build_forecast_models(config: NetworkConfig) -> dg.AssetsDefinition:
    """``<network>/forecast_models``: what was fitted on the weeks before each day, as data."""

    @dg.asset(
        **described(
            config,
            "forecast_models",
            io_manager=FILES,
            kinds={"s3", "parquet", "prophet"},
            schema=FORECAST_MODELS_SCHEMA,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            "hourly_readings": dg.AssetIn(
                [config.name, "hourly_readings"],
                # Declared on the day before alone: with all the days it is fitted on, a backfill
                # of one day of readings would ask for eight weeks of models.
                partition_mapping=windows_around(1, -1),
                input_manager_key=FILES,
            )
        },
        description=(
            f"Forecast models of {title(config)}, fitted on the {TRAINING_DAYS} days before the "
            "day, with hold-out scores against persistence. Parameters as data, no pickle."
        ),
    )
    def models(context: dg.AssetExecutionContext, hourly_readings: DayFiles) -> FrameStream:
        window = window_of(context)
        fitted: list[pl.DataFrame] = []

        def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
            for day in window.chunks(DAY):
                past = Window(day.start - TRAINING_DAYS * DAY, day.start)
                readings = _readings(hourly_readings, past)
                frame = fit_models(readings, day.start.date(), forecast_series(readings))
                fitted.append(frame)
                yield day, frame

        return FrameStream(
            chunks(),
            summary=lambda: _model_metadata(fitted),
            progress=Progress(context, window),
        )

    return models


def build_forecasts(config: NetworkConfig) -> dg.AssetsDefinition:
    """``<network>/forecasts``: hours H and H+1, issued for every hour H."""

    @dg.asset(
        **described(
            config,
            "forecasts",
            io_manager=TABLES,
            kinds={"duckdb", "prophet"},
            schema=FORECASTS.schema,
            columns=FORECASTS.columns,
        ),
        partitions_def=hourly_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            name: dg.AssetIn(
                [config.name, name], partition_mapping=windows_around(0, 0), input_manager_key=FILES
            )
            for name in ("hourly_readings", "forecast_models", "raw_pulls")
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
        raw_pulls: RawPullStore,
    ) -> FrameStream:
        platform: Platform = getattr(context.resources, PLATFORM)
        window = window_of(context)
        reader = VersionReader(raw_pulls, platform.client(config.name))
        tally = ForecastTally()

        def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
            for part in window.chunks(platform.chunk):
                issued_at = platform.now()
                past = Window(part.start - MODEL_DAYS * DAY, part.end)
                readings = _readings(hourly_readings, past)
                models = forecast_models.scan(past).collect()
                hours = _issue_times(part)
                live = all(forecast_mode(hour, issued_at) == "live" for hour in hours)
                # Hindcasts alone ask when a reading was received, which takes parsing the pulls.
                versions = VERSION_SCHEMA.to_frame() if live else reader.read(past)
                made = [
                    forecast_many(models, known, these, _series(models, known))
                    for these, known in known_readings(
                        config.name,
                        readings,
                        versions,
                        hours,
                        issued_at,
                        platform.settings.gas_reference_celsius,
                    )
                ]
                frame = forecast_rows(
                    pl.concat(made),
                    config.name,
                    issued_at,
                    platform.settings.gas_reference_celsius,
                )
                tally.add(frame, readings)
                yield part, frame

        return FrameStream(chunks(), summary=tally.metadata, progress=Progress(context, window))

    return forecasts


def known_readings(
    network: str,
    readings: pl.DataFrame,
    versions: pl.DataFrame,
    issue_times: list[datetime],
    issued_at: datetime,
    reference_c: float,
) -> Iterator[tuple[list[datetime], pl.DataFrame]]:
    """Issue times with the readings each may see.

    A hindcast sees the fold of what had been received by its issue time. Where nothing had been
    received by then (history loaded later), and for live forecasts, it is today's readings; either
    way `forecast_many` leaves out hours that had not ended.
    """
    first = versions["pulled_at"].min()
    as_now: list[datetime] = []
    for issued_for in issue_times:
        live = forecast_mode(issued_for, issued_at) == "live"
        if live or not isinstance(first, datetime) or issued_for < first:
            as_now.append(issued_for)
            continue
        folded = fold_versions(versions.filter(pl.col("hour") < issued_for), as_known_at=issued_for)
        yield [issued_for], hourly_readings(folded, network, reference_c).select(_READ)
    if as_now:
        yield as_now, readings


def _readings(files: DayFiles, window: Window) -> pl.DataFrame:
    return (
        files.scan(window)
        .filter(pl.col("parameter").is_in(FORECAST_PARAMETERS) & pl.col("value").is_not_null())
        .select(_READ)
        .collect()
    )


def _series(models: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """Pairs with a model or a recent reading."""
    return pl.concat([models.select("station_id", "parameter"), forecast_series(readings)]).unique()


def _issue_times(window: Window) -> list[datetime]:
    return [part.start for part in window.chunks(HOUR)]


def _model_metadata(fitted: list[pl.DataFrame]) -> dict[str, Any]:
    models = pl.concat(fitted) if fitted else FORECAST_MODELS_SCHEMA.to_frame()
    if models.is_empty():
        return {"series": 0}
    last = models.filter(pl.col("day") == pl.col("day").max())
    shown: dict[str, Any] = {
        "series": len(last),
        "without_curve": int(last["curve"].is_null().sum()),
        "models": table_metadata(
            last.select(
                "station_id",
                "parameter",
                "model",
                "model_h2",
                "n_training",
                "mae_h1",
                "mae_persistence_h1",
                "skill_h1",
                "skill_h2",
                "reason",
            )
        ),
    }
    for parameter in FORECAST_PARAMETERS:
        skill = last.filter(pl.col("parameter") == parameter)["skill_h1"].mean()
        if isinstance(skill, float):
            shown[f"skill_h1_{parameter}"] = skill
    return shown


class ForecastTally:
    """Counts, a table of the newest forecasts and a small plot of what went by."""

    def __init__(self) -> None:
        self.modes: dict[str, int] = {}
        self._last = FORECASTS.schema.to_frame()
        self._recent = pl.DataFrame()

    def add(self, frame: pl.DataFrame, readings: pl.DataFrame) -> None:
        """Take one chunk of forecasts and the readings behind them into account."""
        for mode, count in frame.group_by("mode").len().iter_rows():
            self.modes[mode] = self.modes.get(mode, 0) + count
        if len(frame):
            self._last = frame.filter(pl.col("issued_for") == pl.col("issued_for").max())
            self._recent = readings

    def metadata(self) -> dict[str, Any]:
        """What to show beside the materialization."""
        shown: dict[str, Any] = {}
        if not self._last.is_empty():
            shown["plot"] = plot("PM2.5, last two days and forecast", "µg/m³", self._lines())
            shown["newest"] = table_metadata(self._last.select(_SHOWN))
        return shown | {
            "live": self.modes.get("live", 0),
            "hindcasts": self.modes.get("hindcast", 0),
            "without_value": int(self._last["value"].is_null().sum()),
        }

    def _lines(self) -> list[Line]:
        issued_for = self._last["issued_for"][0]
        lines = []
        for station in self._last["station_id"].unique().sort().head(3):
            mine = (pl.col("station_id") == station) & (pl.col("parameter") == "pm25")
            past = self._recent.filter(
                mine,
                pl.col("flag") == "valid",
                pl.col("hour").is_between(
                    issued_for - timedelta(days=2), issued_for, closed="left"
                ),
            ).sort("hour")
            ahead = self._last.filter(mine).sort("hour")
            lines.append(Line(station, past["hour"].to_list(), past["value"].to_list()))
            lines.append(
                Line(
                    f"{station} forecast",
                    ahead["hour"].to_list(),
                    ahead["value"].to_list(),
                    (ahead["lower_80"].to_list(), ahead["upper_80"].to_list()),
                )
            )
        return lines
