"""Measurements of what is stored: rows, bytes and files by table, and the room that is left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from prometheus_client.metrics_core import Metric

from aq_resources.metrics.air import Query
from aq_resources.metrics.collector import Measure, gauge
from aq_resources.services import Services
from aq_resources.warehouse.names import LAKE

_CATALOG = f"__ducklake_metadata_{LAKE}"
# Of the catalog alone: no file of the warehouse is opened, however large it is.
_TABLES = f"""
SELECT s.schema_name, t.table_name, coalesce(f.rows, 0) - coalesce(d.rows, 0),
    coalesce(f.bytes, 0) + coalesce(d.bytes, 0), coalesce(f.files, 0) + coalesce(d.files, 0)
FROM {_CATALOG}.ducklake_table t
JOIN {_CATALOG}.ducklake_schema s ON s.schema_id = t.schema_id AND s.end_snapshot IS NULL
LEFT JOIN (
    SELECT table_id, sum(record_count)::DOUBLE AS rows, sum(file_size_bytes)::DOUBLE AS bytes,
        count(*)::DOUBLE AS files
    FROM {_CATALOG}.ducklake_data_file WHERE end_snapshot IS NULL GROUP BY table_id
) f ON f.table_id = t.table_id
LEFT JOIN (
    SELECT table_id, sum(delete_count)::DOUBLE AS rows, sum(file_size_bytes)::DOUBLE AS bytes,
        count(*)::DOUBLE AS files
    FROM {_CATALOG}.ducklake_delete_file WHERE end_snapshot IS NULL GROUP BY table_id
) d ON d.table_id = t.table_id
WHERE t.end_snapshot IS NULL AND s.schema_name <> 'main'
"""


def warehouse_size(query: Query) -> Measure:
    """Rows, bytes and files of every table, and all bytes that the warehouse still keeps."""

    def measure() -> Iterator[Metric]:
        labels = ["network", "table"]
        rows = gauge("aq_table_rows", "Rows of the table", labels)
        size = gauge("aq_table_bytes", "Bytes of the Parquet files that hold them", labels)
        files = gauge("aq_table_files", "Number of these files", labels)
        found: pl.DataFrame = query(_TABLES, [])
        for network, table, *numbers in found.iter_rows():
            for family, value in zip((rows, size, files), numbers, strict=True):
                family.add_metric([network, table], value)
        whole = gauge(
            "aq_warehouse_bytes",
            "Bytes of every Parquet file that the catalog names, those of old snapshots included",
        )
        [(kept,)] = query(
            f"SELECT (SELECT coalesce(sum(file_size_bytes), 0) FROM {_CATALOG}.ducklake_data_file)"
            " + (SELECT coalesce(sum(file_size_bytes), 0) FROM "
            f"{_CATALOG}.ducklake_delete_file)",
            [],
        ).iter_rows()
        whole.add_metric([], float(kept))
        yield from (rows, size, files, whole)

    return measure


def disk_space(services: Services) -> Measure:
    """Room on the disks that hold AQ_HOME and local stores, of the machine that measures."""

    def measure() -> Iterator[Metric]:
        free = gauge("aq_disk_free_bytes", "Bytes free on the disk of the folder", ["folder"])
        size = gauge("aq_disk_size_bytes", "Size of that disk", ["folder"])
        for name, path in _folders(services).items():
            usage = shutil.disk_usage(path)
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
        yield from (free, size)

    return measure


def _folders(services: Services) -> dict[str, Path]:
    """By what they are; those that do not exist (yet) by the nearest one above."""
    settings = services.settings
    found = {"home": settings.home, "dagster": settings.dagster_home}
    if settings.object_store_url.startswith("file://"):
        found["objects"] = Path(settings.object_store_url.removeprefix("file://"))
    data = services.warehouse.location.data_path
    if "://" not in data:
        found["warehouse"] = Path(data)
    return {name: _existing(path) for name, path in found.items()}


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())
