"""What a record of experiments keeps of the models of a day: settings, scores, and the models.

Numbers are of a whole network: those of a single series are in the tables beside them. A record of
a thousand series by name would be thousands of numbers a night, which no page compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from aq_science.forecasting.schema import HORIZONS, TRAINING_DAYS
from aq_science.forecasting.select import HOLDOUT_HOURS

SERIES = "series.csv"


@dataclass(frozen=True)
class FitRecord:
    """A day's fit of a network.

    Attributes:
        day: The UTC day from which the models serve.
        parameters: What the fit was given, by name.
        metrics: What came of it, by name; `pm25_h1/skill` is of PM2.5 at horizon 1.
        served: By canonical parameter what its models are, in words: which methods serve how many
            series, at each horizon.
    """

    day: date
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    served: Mapping[str, Mapping[str, str]]


def fit_record(models: pl.DataFrame, network_models: pl.DataFrame) -> FitRecord:
    """Settings and scores of one day's models.

    Scores are of the hold-out week: those of all its forecasts together, so that a series counts
    by the hours that it was scored on, and the skill of the worst series.

    Args:
        models: `FORECAST_MODELS` of one day, at least a row.
        network_models: `NETWORK_MODELS` that they may point at, of several fits.
    """
    metrics: dict[str, float] = {}
    served: dict[str, dict[str, str]] = {}
    for parameter, rows in _by_parameter(models):
        metrics[f"{parameter}/series"] = len(rows)
        metrics[f"{parameter}/without_competition"] = len(
            rows.filter(pl.col("reason").is_not_null())
        )
        served[parameter] = {}
        for horizon in HORIZONS:
            group = f"{parameter}_h{horizon}"
            counts = _served(rows, horizon)
            metrics |= {f"{group}/{name}": v for name, v in _scores(rows, horizon).items()}
            metrics |= {f"{group}/served_by/{method}": n for method, n in counts.items()}
            served[parameter][f"served_h{horizon}"] = ", ".join(
                f"{method} {n}" for method, n in counts.items()
            )
    day: date = models["day"][0]
    return FitRecord(day, _settings(models, network_models), metrics, served)


def fit_tables(models: pl.DataFrame, network_models: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The models of a day as tables, by the name of the file for each.

    Args:
        models: As for `fit_record`.
        network_models: As for `fit_record`.

    Returns:
        All series with the served method and its scores, for people; and by parameter, in a folder
        of its name, the models as they are stored, from which forecasts can be made again.
    """
    tables = {SERIES: models.drop("candidates").sort("parameter", "station_id")}
    for parameter, rows in _by_parameter(models):
        tables[f"{parameter}/forecast_models.parquet"] = rows
        learned = network_models.filter(pl.col("parameter") == parameter)
        if len(learned):
            tables[f"{parameter}/network_models.parquet"] = learned
    return tables


def _by_parameter(models: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    groups = models.sort("parameter", "station_id").partition_by(
        "parameter", as_dict=True, maintain_order=True
    )
    return [(str(parameter), rows) for (parameter,), rows in groups.items()]


def _scores(rows: pl.DataFrame, horizon: int) -> dict[str, float]:
    """Scores of all hold-out forecasts together; none where nothing was scored."""
    n, mae, rmse, baseline, skill = (
        pl.col(f"{name}_h{horizon}") for name in ("n", "mae", "rmse", "mae_persistence", "skill")
    )
    scored = rows.filter(n > 0)
    if scored.is_empty():
        return {}
    total = n.sum()
    pooled = scored.select(
        n=total.cast(pl.Float64),
        mae=(n * mae).sum() / total,
        rmse=((n * rmse**2).sum() / total).sqrt(),
        mae_persistence=(n * baseline).sum() / total,
        skill_lowest=skill.min(),
    ).row(0, named=True)
    if pooled["mae_persistence"] > 0:
        pooled["skill"] = 1 - pooled["mae"] / pooled["mae_persistence"]
    return {name: value for name, value in pooled.items() if value is not None}


def _served(rows: pl.DataFrame, horizon: int) -> dict[str, int]:
    """How many series each method serves, most first."""
    column = "model" if horizon == 1 else f"model_h{horizon}"
    counts = rows.group_by(pl.col(column).alias("model")).len()
    ordered = counts.drop_nulls("model").sort("len", "model", descending=[True, False])
    return dict(ordered.select("model", "len").iter_rows())


def _settings(models: pl.DataFrame, network_models: pl.DataFrame) -> dict[str, str]:
    methods = models["candidates"].explode().struct.field("method").drop_nulls().unique().sort()
    settings = {
        "training_days": str(TRAINING_DAYS),
        "holdout_days": str(HOLDOUT_HOURS // 24),
        "methods": ", ".join(methods),
    }
    newest = network_models.sort("trained_to").unique(
        ["parameter", "lag", "method"], keep="last", maintain_order=True
    )
    for row in newest.sort("parameter", "lag", "method").iter_rows(named=True):
        group = f"{row['parameter']}_h{row['lag']}/{row['method']}"
        for name in ("trained_to", "trained_from", "n_stations", "n_readings", "reason"):
            if row[name] is not None:
                settings[f"{group}/{name}"] = str(row[name])
    return settings
