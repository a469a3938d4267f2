"""`aq backtest`: rolling-origin forecasts on a file of hourly readings."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
from rich.console import Console
from rich.progress import Progress

from aq_platform.tables import print_frame
from aq_resources.failures import SettingsError
from aq_science.forecasting.backtest import (
    BACKTEST_SCHEMA,
    Block,
    Forecasts,
    backtest,
    backtest_scores,
    blocks,
    network_days,
    seen_by,
    usable_models,
)
from aq_science.forecasting.network_models import fit_network_models
from aq_science.forecasting.table import FORECAST_PARAMETERS, forecast_series
from aq_science.tables.types import INSTANT

_NEEDED = ("station_id", "parameter", "hour", "value")


class Scores(NamedTuple):
    """As `backtest_scores` gives them."""

    served: pl.DataFrame
    of_each: pl.DataFrame
    """Of each method by itself, with `model`; empty where not asked for."""


def run_backtest(
    readings: Path,
    output: Path,
    since: datetime | None,
    refit_days: int,
    console: Console,
    stations: Path | None = None,
    *,
    each_method: bool = False,
) -> Scores:
    """Forecast, write every forecast, and score them.

    Args:
        readings: Parquet with `station_id, parameter, hour` (UTC start; without a zone it is taken
            as UTC), `value` in canonical units and perhaps `flag`: then only `valid` ones count.
        output: Parquet to write, `BACKTEST_SCHEMA`; the same bytes for the same readings.
        since: First issue time; as soon as there is enough to learn from without.
        refit_days: Days from one fit to the next.
        console: Shows the progress.
        stations: Parquet or CSV with `station_id, latitude, longitude`, where there is one.
        each_method: Whether every method is scored by itself as well.

    Returns:
        The scores by parameter and horizon.

    Raises:
        SettingsError: The file cannot be used.
    """
    table = read_readings(readings)
    positions = None if stations is None else read_positions(stations)
    try:
        first, last = table.select(first=pl.col("hour").min(), last=pl.col("hour").max()).row(0)
        work = list(blocks(first, last, since, refit_days))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    series = forecast_series(table)
    chains = [Chain(part, deque(work)) for part in series.partition_by("parameter")]
    days = network_days(series, first.date(), [block.model_day for block in work])
    network, parts, of_each = [], [], []
    with Progress(console=console, transient=True) as progress:
        fitting = progress.add_task("fit the network", total=len(days))
        forecasting = progress.add_task("forecast", total=len(chains) * len(work))
        for day in days:
            network.append(fit_network_models(table, day, day, positions, os.cpu_count() or 1))
            progress.advance(fitting)
        for made in _each(table, chains, pl.concat(network), each_method=each_method):
            parts.append(made.rows)
            of_each.append(made.of_each)
            progress.advance(forecasting)
    rows = pl.concat([BACKTEST_SCHEMA.to_frame(), *parts])
    rows = rows.sort("station_id", "parameter", "issued_for", "horizon")
    waiting = output.with_name(f".{output.name}.part")
    rows.write_parquet(waiting, compression="zstd")
    waiting.replace(output)
    return Scores(
        backtest_scores(rows, "parameter", "horizon"),
        backtest_scores(pl.concat(of_each), "parameter", "horizon", "model"),
    )


@dataclass
class Chain:
    """The blocks of some series, one after another: each begins with the models of the last."""

    series: pl.DataFrame
    waiting: deque[Block]
    models: pl.DataFrame | None = None


def _each(
    table: pl.DataFrame, chains: Sequence[Chain], network: pl.DataFrame, *, each_method: bool
) -> Iterator[Forecasts]:
    """The forecasts of every block of every chain, the chains in processes beside each other."""
    # Forked processes would inherit polars' threads.
    with ProcessPoolExecutor(len(chains), multiprocessing.get_context("spawn")) as pool:
        at_work: dict[Future[Forecasts], Chain] = {}

        def begin(chain: Chain) -> None:
            if chain.waiting:
                block = chain.waiting.popleft()
                models = usable_models(network, block)
                readings = seen_by(table, block)
                task = pool.submit(
                    backtest,
                    readings,
                    block,
                    chain.series,
                    models,
                    chain.models,
                    each_method=each_method,
                )
                at_work[task] = chain

        for chain in chains:
            begin(chain)
        while at_work:
            for task in wait(at_work, return_when=FIRST_COMPLETED).done:
                chain = at_work.pop(task)
                made = task.result()
                chain.models = made.models
                begin(chain)
                yield made


def read_readings(path: Path) -> pl.DataFrame:
    """The readings of a file, in the form that `backtest` takes.

    Args:
        path: Parquet.

    Returns:
        `station_id, parameter, hour, value, flag`.

    Raises:
        SettingsError: It is no such file.
    """
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SettingsError(f"{path} cannot be read as Parquet: {error}") from None
    if lacking := [name for name in _NEEDED if name not in table.columns]:
        raise SettingsError(
            f"{path} lacks {', '.join(lacking)}; it needs {', '.join(_NEEDED)} and perhaps flag."
        )
    if not table.schema["hour"].is_temporal():
        raise SettingsError(f"hour of {path} is {table.schema['hour']} and no time.")
    kind = table.schema["hour"]
    zone = kind.time_zone if isinstance(kind, pl.Datetime) else None
    hour = pl.col("hour").cast(pl.Datetime("us", zone))
    zoned = hour.dt.convert_time_zone("UTC") if zone else hour.dt.replace_time_zone("UTC")
    flag = pl.col("flag").cast(pl.String) if "flag" in table.columns else pl.lit("valid")
    read = table.select(
        pl.col("station_id", "parameter").cast(pl.String),
        hour=zoned.cast(INSTANT),
        value=pl.col("value").cast(pl.Float64),
        flag=flag,
    )
    if not read.get_column("parameter").is_in(FORECAST_PARAMETERS).any():
        raise SettingsError(f"{path} has no reading of {' or '.join(FORECAST_PARAMETERS)}.")
    if read.select(pl.struct("station_id", "parameter", "hour").is_duplicated().any()).item():
        raise SettingsError(f"{path} has more than one reading of an hour of a series.")
    return read.sort("station_id", "parameter", "hour")


def read_positions(path: Path) -> pl.DataFrame:
    """Where stations are.

    Args:
        path: Parquet, or CSV by its name.

    Returns:
        `station_id, latitude, longitude`.

    Raises:
        SettingsError: It is no such file.
    """
    names = ("station_id", "latitude", "longitude")
    try:
        read = pl.read_csv if path.suffix.lower() == ".csv" else pl.read_parquet
        table = read(path)
        return table.select(
            pl.col("station_id").cast(pl.String),
            pl.col("latitude", "longitude").cast(pl.Float64),
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SettingsError(f"{path} cannot be read as {', '.join(names)}: {error}") from None


def print_scores(scores: Scores, console: Console) -> None:
    """The scores as tables."""
    tables = {"Forecasts against what then came": scores.served, "Each method": scores.of_each}
    for title, table in tables.items():
        if len(table):
            print_frame(table.with_columns(pl.selectors.float().round(4)), console, title)
