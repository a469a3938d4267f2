"""The models of a run on their way to the record of experiments, once they are stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import dagster as dg
import polars as pl

from aq_resources.experiments import ExperimentLog, RecordError
from aq_science.forecasting.fit_record import FitRecord, fit_record, fit_tables


class FitLog:
    """Collects the days of a run: settings and scores of all, tables of the newest alone.

    A record that cannot be written is a warning in the run's log and its metadata, and no failure.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        experiments: ExperimentLog,
        network_models: Callable[[date], pl.DataFrame],
    ) -> None:
        """Collects nothing where nothing is recorded.

        Args:
            context: Of the run, whose asset's prefix is the network.
            experiments: The record.
            network_models: `NETWORK_MODELS` that the models of a UTC day may point at; asked where
                a record is kept.
        """
        self.context = context
        self.experiments = experiments
        self.network_models = network_models
        self.outcome: str | dg.UrlMetadataValue | None = None
        self._fits: list[FitRecord] = []
        self._newest: tuple[pl.DataFrame, pl.DataFrame] | None = None

    def add(self, models: pl.DataFrame) -> None:
        """Take in the models of a day, which come in order."""
        if not self.experiments.on or models.is_empty():
            return
        network_models = self.network_models(models["day"][0])
        self._fits.append(fit_record(models, network_models))
        self._newest = models, network_models

    def write(self) -> None:
        """Record what was taken in; `outcome` then says where, or why not."""
        if self._newest is None:
            return
        network = self.context.asset_key.path[0]
        tags = {"dagster_run_id": self.context.run_id}
        tables = fit_tables(*self._newest)
        try:
            found = self.experiments.record(network, self._fits, tables, tags)
        except RecordError as error:
            self.outcome = str(error)
            self.context.log.warning(self.outcome)
        else:
            self.outcome = dg.MetadataValue.url(found) if found.startswith("http") else found
