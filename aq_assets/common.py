"""What every asset of a network's chain shares: names, owner, schema, window and partitions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.freshness import freshness_policy
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_attribution, network_title
from aq_resources.progress import report
from aq_resources.tables import sql_type
from aq_science.windows import HOUR, Window

OWNER = "team:air-quality"
PLATFORM = "platform"
FILES = "s3_io_manager"
TABLES = "duckdb_io_manager"

# What every hour brings, so that its absence means something.
_HOURLY = frozenset({"raw_pulls", "hourly_readings", "daily_averages", "forecasts"})

# The whole range of a backfill is one run; the assets work through it in chunks.
ONE_RUN = dg.BackfillPolicy.single_run()


def daily_partitions(config: NetworkConfig) -> dg.DailyPartitionsDefinition:
    """UTC days from the network's start to today, the day in progress included."""
    return dg.DailyPartitionsDefinition(config.start_date.isoformat(), timezone="UTC", end_offset=1)


def hourly_partitions(config: NetworkConfig) -> dg.HourlyPartitionsDefinition:
    """Issue times from the network's start to the present hour, the hour in progress included."""
    return dg.HourlyPartitionsDefinition(
        f"{config.start_date.isoformat()}-00:00", timezone="UTC", end_offset=1
    )


def window_of(context: dg.AssetExecutionContext) -> Window:
    """The UTC window of the run's partitions: one key or a range."""
    asked = context.partition_time_window
    return Window(asked.start, asked.end)


def windows_around(before: int, after: int) -> dg.TimeWindowPartitionMapping:
    """The upstream windows from ``before`` partitions earlier to ``after`` partitions later."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-before, end_offset=after, allow_nonexistent_upstream_partitions=True
    )


def described(
    config: NetworkConfig,
    name: str,
    *,
    io_manager: str,
    kinds: set[str],
    schema: pl.Schema | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Arguments of ``@dg.asset`` that are the same for every asset of a chain."""
    metadata: dict[str, Any] = {"attribution": network_attribution(config.name)}
    if schema is not None:
        metadata["dagster/column_schema"] = column_schema(schema, columns or {})
    return {
        "name": name,
        "key_prefix": [config.name],
        "group_name": config.name,
        "owners": [OWNER],
        "kinds": kinds,
        "io_manager_key": io_manager,
        "required_resource_keys": {PLATFORM},
        "metadata": metadata,
        "tags": {"network": config.name},
        "freshness_policy": freshness_policy(config) if name in _HOURLY else None,
    }


def column_schema(schema: pl.Schema, columns: Mapping[str, str]) -> dg.TableSchema:
    """The declared columns as the UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, sql_type(dtype).lower(), description=columns.get(name))
            for name, dtype in schema.items()
        ]
    )


def table_metadata(frame: pl.DataFrame, limit: int = 20) -> dg.TableMetadataValue:
    """The first rows of a small frame as a table in the UI."""
    head = frame.head(limit)
    records = [
        dg.TableRecord({name: _cell(value) for name, value in row.items()})
        for row in head.iter_rows(named=True)
    ]
    columns = [dg.TableColumn(name, _table_type(dtype)) for name, dtype in head.schema.items()]
    return dg.TableMetadataValue(records, dg.TableSchema(columns))


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}Z"
    return value if isinstance(value, str | int) or value is None else str(value)


def _table_type(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    return "bool" if dtype == pl.Boolean else "string"


class Progress:
    """Says how far a long range has come, in the run's log and to a listening terminal."""

    def __init__(self, context: dg.AssetExecutionContext, window: Window) -> None:
        self.context = context
        self.asset = context.asset_key.to_user_string()
        self.total = max(1, int((window.end - window.start) / HOUR))
        self.done = 0

    def __call__(self, window: Window) -> None:
        """Note that ``window`` is done."""
        self.done = min(self.total, self.done + int((window.end - window.start) / HOUR))
        report(self.asset, self.done, self.total)
        if self.total > timedelta(days=31) / HOUR:
            percent = self.done * 100 // self.total
            self.context.log.info("%s: up to %s (%d %%)", self.asset, window.end.date(), percent)


def title(config: NetworkConfig) -> str:
    """The network's name as people write it."""
    return network_title(config.name)
