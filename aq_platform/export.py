"""Files for others: daily averages as partitioned Parquet, read by any engine without the lake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import polars as pl

from aq_resources.attribution import file_metadata, station_attributions
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import parquet_bytes
from aq_science.parameters import PARAMETERS
from aq_science.tables.daily_averages import DAILY_AVERAGES

ROOT = "exports"
FILE = "daily_averages.parquet"


def export_daily_averages(services: Services, networks: Iterable[NetworkConfig]) -> Iterator[str]:
    """Write the daily averages of networks to the object store, a file a network and year.

    A file is replaced whole, so that it is the table of that year as it is now.

    Args:
        services: For the warehouse and the object store.
        networks: Whose.

    Yields:
        The address of each file, once it is written.
    """
    for config in networks:
        rows = services.warehouse.rows(config.name, DAILY_AVERAGES)
        known = station_attributions(services.warehouse, config.name)
        ordered = rows.sort("station_id", "parameter", "date")
        years = ordered.with_columns(year=pl.col("date").dt.year())
        for (year,), part in sorted(years.partition_by("year", as_dict=True).items()):
            stations = part["station_id"].unique().cast(pl.String).to_list()
            data = parquet_bytes(
                part.drop("year"), {**file_metadata(config.name, stations, known), **_units()}
            )
            key = f"{ROOT}/daily_averages/network={config.name}/year={year}/{FILE}"
            services.object_store.put(key, data)
            yield services.object_store.uri(key)


def _units() -> dict[str, str]:
    """The unit of each column, and of each parameter, as an entry of the file's metadata."""
    columns = {column.name: column.unit for column in DAILY_AVERAGES.columns if column.unit}
    parameters = {name: parameter.unit for name, parameter in PARAMETERS.items()}
    units = {"columns": columns, "parameters": parameters}
    return {"units": json.dumps(units, ensure_ascii=False)}
