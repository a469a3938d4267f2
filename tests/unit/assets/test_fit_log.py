"""The models of a run are recorded when all are stored, and a failure is a warning."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
import pytest

from aq_assets.fit_log import FitLog
from aq_resources.experiments import ExperimentLog, NoExperiments, RecordError
from aq_science.forecasting.fit_record import FitRecord
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.tables.network_models import NETWORK_MODELS


class Notes:
    """A record in memory."""

    on = True

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.noted: list[tuple[str, list[date], list[str], dict[str, str]]] = []

    def record(
        self,
        network: str,
        fits: Sequence[FitRecord],
        tables: Mapping[str, pl.DataFrame],
        tags: Mapping[str, str],
    ) -> str:
        if self.refuses:
            raise RecordError(self.refuses)
        self.noted.append((network, [fit.day for fit in fits], list(tables), dict(tags)))
        return "http://mlflow.example/1"

    def examine(self) -> str:
        return "in memory"


class Context:
    """What of a run is asked for."""

    asset_key = dg.AssetKey(["airqino", "forecast_models"])
    run_id = "a-run"

    def __init__(self) -> None:
        self.warnings: list[str] = []

    @property
    def log(self) -> Any:
        return self

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def models(day: date, parameter: str = "pm25") -> pl.DataFrame:
    row = {**dict.fromkeys(FORECAST_MODELS.schema.names()), "station_id": "s1", "day": day}
    return pl.DataFrame(
        [{**row, "parameter": parameter}], schema=FORECAST_MODELS.schema, orient="row"
    )


def no_network_models(_day: date) -> pl.DataFrame:
    return NETWORK_MODELS.schema.to_frame()


def log(experiments: ExperimentLog, context: Context | None = None, **options: Any) -> FitLog:
    of_network = options.get("network_models", no_network_models)
    return FitLog(context or Context(), experiments, of_network)  # type: ignore[arg-type]


def test_a_run_is_recorded_once_with_the_tables_of_its_newest_day() -> None:
    notes = Notes()
    fits = log(notes)
    fits.add(models(date(2024, 3, 1), "co"))
    fits.add(models(date(2024, 3, 2)))
    fits.add(models(date(2024, 3, 3)).clear())
    fits.write()
    [(network, days, tables, tags)] = notes.noted
    assert network == "airqino"
    assert days == [date(2024, 3, 1), date(2024, 3, 2)]
    assert tables == ["series.csv", "pm25/forecast_models.parquet"]
    assert tags == {"dagster_run_id": "a-run"}
    assert fits.outcome == dg.MetadataValue.url("http://mlflow.example/1")


def test_network_models_of_each_day_are_asked_for() -> None:
    asked: list[date] = []

    def of_day(day: date) -> pl.DataFrame:
        asked.append(day)
        return no_network_models(day)

    log(Notes(), network_models=of_day).add(models(date(2024, 3, 1)))
    assert asked == [date(2024, 3, 1)]


def test_a_record_that_cannot_be_written_is_a_warning() -> None:
    context = Context()
    fits = log(Notes(refuses="MLflow is down."), context)
    fits.add(models(date(2024, 3, 1)))
    fits.write()
    assert context.warnings == ["MLflow is down."]
    assert fits.outcome == "MLflow is down."


@pytest.mark.parametrize("experiments", [NoExperiments(), Notes()])
def test_nothing_to_record_is_no_record(experiments: ExperimentLog) -> None:
    fits = log(experiments)
    fits.write()
    assert fits.outcome is None


def test_where_nothing_is_recorded_nothing_is_put_together() -> None:
    def never(_day: date) -> pl.DataFrame:
        raise AssertionError

    fits = log(NoExperiments(), network_models=never)
    fits.add(models(date(2024, 3, 1)))
    fits.write()
    assert fits.outcome is None
