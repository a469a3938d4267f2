"""The forecast models of a network: what is fitted once a day, as data."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, described, title
from aq_assets.fit_log import FitLog
from aq_assets.metadata import rounded
from aq_assets.network_models import FITTED_WITHIN
from aq_assets.partitions import ONE_RUN, daily_partitions, windows_around
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_science.forecasting.known import forecast_readings
from aq_science.forecasting.schema import TRAINING_DAYS
from aq_science.forecasting.select import fit_models
from aq_science.forecasting.table import FORECAST_PARAMETERS, forecast_series
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.windows import DAY, Window

_SHOWN = (
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


def build_forecast_models(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/forecast_models`: what was fitted on the weeks before each day, as data."""

    @asset(
        **described(
            config,
            "forecast_models",
            io_manager=FILES,
            kinds={"parquet", "prophet", "lightgbm"},
            table=FORECAST_MODELS,
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
            ),
            "network_models": dg.AssetIn(
                [config.name, "network_models"],
                partition_mapping=windows_around(0, 0),
                input_manager_key=FILES,
            ),
        },
        description=(
            f"Forecast models of {title(config)}, fitted on the {TRAINING_DAYS} days before the "
            "day, with hold-out scores against persistence. Parameters as data, no pickle."
        ),
    )
    def models(
        context: dg.AssetExecutionContext,
        hourly_readings: DayFiles,
        network_models: DayFiles,
        services: dg.ResourceParam[Services],
    ) -> FrameStream:
        own = services.files.day_files(config.name, "forecast_models")

        def fit(day: Window) -> pl.DataFrame:
            past = Window(day.start - TRAINING_DAYS * DAY, day.start)
            readings = forecast_readings(hourly_readings.scan(past))
            return fit_models(
                readings,
                day.start.date(),
                forecast_series(readings),
                fitted_until(network_models, day),
                own.scan_days(own.current(Window(day.start - DAY, day.start))).collect(),
            )

        def of_network(day: date) -> pl.DataFrame:
            return fitted_until(network_models, Window.of_days(day, day))

        log = FitLog(context, services.experiments, of_network)
        return chunked(context, DAY, fit, ModelTally(log))

    return models


def fitted_until(network_models: DayFiles, days: Window) -> pl.DataFrame:
    """The network models that the models of some days may point at."""
    files = network_models.current(Window(days.start - FITTED_WITHIN * DAY, days.end))
    return network_models.scan_days(files).collect()


class ModelTally(Tally):
    """The models of the last day, and how they did on their hold-out week."""

    newest_by = "day"

    def __init__(self, log: FitLog) -> None:
        super().__init__()
        self.log = log

    def count(self, frame: pl.DataFrame) -> None:
        """Hand them on: here, the last day's models say all."""
        self.log.add(frame)

    def finish(self) -> None:
        """Record what is stored by now."""
        self.log.write()

    def counts(self) -> dict[str, Any]:
        last = self.newest
        if last.is_empty():
            return {"series": 0}
        shown: dict[str, Any] = {
            "series": len(last),
            "without_curve": int(last["reason"].is_not_null().sum()),
        }
        for parameter in FORECAST_PARAMETERS:
            skill = last.filter(pl.col("parameter") == parameter)["skill_h1"].mean()
            if isinstance(skill, float):
                shown[f"skill_h1_{parameter}"] = rounded(skill)
        if self.log.outcome is not None:
            shown["experiment"] = self.log.outcome
        return shown

    def tables(self) -> dict[str, pl.DataFrame]:
        return {"models": self.newest.select(_SHOWN)}
