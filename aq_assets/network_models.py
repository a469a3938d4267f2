"""The models of a whole network: fitted once a week, as data."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, described, title
from aq_assets.partitions import ONE_RUN, daily_partitions, windows_around
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_science.forecasting.known import network_readings
from aq_science.forecasting.network_models import (
    REFIT_DAYS,
    SCORED_DAYS,
    fit_network_models,
    served_and_scored,
    training_days,
)
from aq_science.forecasting.schema import TRAINING_DAYS
from aq_science.tables.network_models import NETWORK_MODELS
from aq_science.tables.stations import STATIONS
from aq_science.windows import DAY, Window

# A day's models point at fits this much older at most.
FITTED_WITHIN = REFIT_DAYS + SCORED_DAYS
_SHOWN = ("parameter", "lag", "method", "trained_from", "trained_to", "n_stations", "n_readings")


def build_network_models(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/network_models`: what was fitted on all stations before each week, as data."""

    @asset(
        **described(
            config,
            "network_models",
            io_manager=FILES,
            kinds={"parquet", "lightgbm"},
            table=NETWORK_MODELS,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            "hourly_readings": dg.AssetIn(
                [config.name, "hourly_readings"],
                partition_mapping=windows_around(1, -1),
                input_manager_key=FILES,
            )
        },
        description=(
            f"Forecast models of all stations of {title(config)} together, fitted on as long a "
            "time as helps. They are fitted anew on Mondays; the file of another day is empty, "
            "unless a fit that it needs was missing. Trees as text, no pickle."
        ),
    )
    def network_models(
        context: dg.AssetExecutionContext,
        hourly_readings: DayFiles,
        services: dg.ResourceParam[Services],
    ) -> FrameStream:
        files = services.files.day_files(config.name, "network_models")

        def fit(day: Window) -> pl.DataFrame:
            wanted = served_and_scored(day.start.date())
            stored = fitted_before(files, day.start.date())
            days = [to for to in wanted if to not in stored and to > config.start_date]
            stations = services.warehouse.rows(config.name, STATIONS) if days else None
            made = _fits(hourly_readings, days, day, stations)
            return pl.concat([NETWORK_MODELS.schema.to_frame(), *made])

        return chunked(context, DAY, fit, NetworkModelTally())

    return network_models


def fitted_before(files: DayFiles, day: date) -> set[date]:
    """The days before which the models were fitted that the files before a day hold."""
    before = Window.of_days(day - timedelta(days=FITTED_WITHIN), day - DAY)
    stored = files.scan_days(files.current(before)).select("trained_to").collect()
    return set(stored.get_column("trained_to"))


def _fits(
    readings: DayFiles, days: list[date], serving: Window, positions: pl.DataFrame | None
) -> Iterator[pl.DataFrame]:
    """Fit on the readings before each of some days."""
    for trained_to in days:
        # How many stations there are decides how far back to read.
        recent = Window.of_days(trained_to - TRAINING_DAYS * DAY, trained_to - DAY)
        stations = readings.scan(recent).select(pl.col("station_id").n_unique()).collect().item()
        past = Window.of_days(trained_to - training_days(stations) * DAY, trained_to - DAY)
        yield fit_network_models(
            network_readings(readings.scan(past)),
            trained_to,
            serving.start.date(),
            positions,
            workers=os.cpu_count() or 1,
        )


class NetworkModelTally(Tally):
    """The fits of the last day that had any."""

    newest_by = "day"

    def count(self, frame: pl.DataFrame) -> None:
        """Nothing: the last fits say all."""

    def counts(self) -> dict[str, Any]:
        failed = self.newest["reason"].is_not_null().sum() if len(self.newest) else 0
        return {"models": len(self.newest) - failed, "without_model": failed}

    def tables(self) -> dict[str, pl.DataFrame]:
        return {"fits": self.newest.select(*_SHOWN, "reason")}
