"""Nightly upkeep of what all networks share: the warehouse, Dagster's history, raw pulls."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.common import OWNER, PLATFORM, table_metadata
from aq_resources.clock import system_clock
from aq_resources.history import prune_history
from aq_resources.platform import Platform
from aq_resources.raw_pulls import RawPullStore, Tidied

GROUP = "upkeep"
# The last days' folders get new pulls every hour: they wait until that is over.
SETTLED = timedelta(days=2)


def build_upkeep() -> dg.Definitions:
    """Three assets without partitions, and the job ``upkeep`` over them."""
    return dg.Definitions(
        assets=[_warehouse(), _run_history(), _raw_pulls()],
        jobs=[
            dg.define_asset_job(
                GROUP,
                dg.AssetSelection.groups(GROUP),
                description="Merges small files, and removes what is older than has to be kept.",
            )
        ],
    )


def _described(name: str, kinds: set[str]) -> dict[str, Any]:
    return {
        "name": name,
        "key_prefix": [GROUP],
        "group_name": GROUP,
        "owners": [OWNER],
        "kinds": kinds,
        "required_resource_keys": {PLATFORM},
    }


def _warehouse() -> dg.AssetsDefinition:
    @dg.asset(
        **_described("warehouse", {"duckdb", "parquet"}),
        description=(
            "The warehouse's Parquet with small files merged, snapshots older than "
            "AQ_KEEP_SNAPSHOT_DAYS expired and unneeded files deleted; the rows stay the same."
        ),
    )
    def warehouse(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        platform: Platform = getattr(context.resources, PLATFORM)
        keep = timedelta(days=platform.settings.keep_snapshot_days)
        # Snapshots and files are stamped by the machine's clock, whatever AQ_CLOCK says.
        done = platform.warehouse.compact(system_clock(), keep)
        if done.foreign:
            context.log.warning(
                "AQ_WAREHOUSE_DATA holds files that are not the warehouse's, such as %s: files "
                "that killed writers left there are not deleted. Give the warehouse a folder of "
                "its own.",
                done.foreign[0],
            )
        return dg.MaterializeResult(
            metadata={
                **_sizes("before", done.before),
                **_sizes("after", done.after),
                "tables_merged": done.tables_merged,
                "snapshots_expired": done.snapshots_expired,
                "files_deleted": done.files_deleted,
                "orphans_deleted": done.orphans_deleted,
                "foreign_files": len(done.foreign),
            }
        )

    return warehouse


def _run_history() -> dg.AssetsDefinition:
    @dg.asset(
        **_described("run_history", {"dagster"}),
        description=(
            "Dagster's runs, events and logs without those older than AQ_KEEP_HISTORY_DAYS; the "
            "newest materialization of every partition and the newest result of every check stay."
        ),
    )
    def run_history(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        platform: Platform = getattr(context.resources, PLATFORM)
        # As for the warehouse: Dagster goes by the machine's clock.
        before = system_clock() - timedelta(days=platform.settings.keep_history_days)
        done = prune_history(context.instance, before)
        return dg.MaterializeResult(
            metadata={
                **_sizes("before", done.before),
                **_sizes("after", done.after),
                "runs_deleted": done.runs_deleted,
                "runs_kept": done.runs_kept,
                "runs_left": done.runs_left,
                "backfills_deleted": done.backfills_deleted,
            }
        )

    return run_history


def _raw_pulls() -> dg.AssetsDefinition:
    @dg.asset(
        **_described("raw_pulls", {"s3", "json"}),
        description=(
            "Raw pulls of every network with the many small files of a finished day merged into "
            "one; every answer is kept."
        ),
    )
    def raw_pulls(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        platform: Platform = getattr(context.resources, PLATFORM)
        ended_before = platform.now() - SETTLED
        tidied: dict[str, Tidied] = {}
        for network in platform.networks:
            tidied[network] = RawPullStore(platform.object_store, network).tidy(ended_before)
            context.log.info("%s: %s", network, tidied[network])
        table = pl.DataFrame([{"network": name, **asdict(one)} for name, one in tidied.items()])
        totals = table.drop("network").sum().row(0, named=True) if len(table) else {}
        return dg.MaterializeResult(metadata={**totals, "networks": table_metadata(table)})

    return raw_pulls


def _sizes(when: str, size: Any) -> dict[str, int]:
    return {f"{name}_{when}": value for name, value in asdict(size).items()}
