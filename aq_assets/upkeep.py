"""Nightly upkeep of what all networks share: the warehouse, Dagster's history, raw pulls."""

import zlib
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import OWNER
from aq_assets.metadata import table_metadata
from aq_assets.window_averages import expire_windows
from aq_resources.clock import system_clock
from aq_resources.dagster_storage.history import prune_history
from aq_resources.networks import network_is_pushed
from aq_resources.publication.publisher import remove_unneeded
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawPullStore, Tidied

GROUP = "upkeep"
# The last days' folders get new pulls every hour: they wait until that is over.
SETTLED = timedelta(days=2)
# In so many nights every file is read once.
NIGHTS = 30
WHOLE = "every_file_is_whole"


def build_upkeep(*, on_s3: bool = False) -> dg.Definitions:
    """Four assets without partitions, and the job `upkeep` over them."""
    return dg.Definitions(
        assets=[
            _warehouse(),
            _run_history(),
            _raw_pulls(on_s3=on_s3),
            _publication(on_s3=on_s3),
        ],
        jobs=[
            dg.define_asset_job(
                GROUP,
                dg.AssetSelection.groups(GROUP),
                description="Merges small files, and removes what is older than has to be kept.",
            )
        ],
    )


def tonights_share(keys: Iterable[str], night: date) -> list[str]:
    """The keys whose turn it is: each has its turn once in `NIGHTS` nights."""
    turn = night.toordinal() % NIGHTS
    return [key for key in keys if zlib.crc32(key.encode()) % NIGHTS == turn]


def _described(name: str, kinds: set[str]) -> dict[str, Any]:
    return {
        "name": name,
        "key_prefix": [GROUP],
        "group_name": GROUP,
        "owners": [OWNER],
        "kinds": kinds,
    }


def _warehouse() -> dg.AssetsDefinition:
    @asset(
        **_described("warehouse", {"duckdb", "parquet"}),
        description=(
            "The warehouse's Parquet with small files merged, snapshots older than "
            "AQ_KEEP_SNAPSHOT_DAYS expired and unneeded files deleted; the rows stay the same."
        ),
    )
    def warehouse(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> dg.MaterializeResult[None]:
        keep = timedelta(days=services.settings.keep_snapshot_days)
        for network in filter(network_is_pushed, services.networks):
            expire_windows(services, network)
        # Snapshots and files are stamped by the machine's clock, whatever AQ_CLOCK says.
        done = services.warehouse.compact(system_clock(), keep)
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
    @asset(
        **_described("run_history", {"dagster"}),
        description=(
            "Dagster's runs, events and logs without those older than AQ_KEEP_HISTORY_DAYS; the "
            "newest materialization of every partition and the newest result of every check stay."
        ),
    )
    def run_history(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> dg.MaterializeResult[None]:
        # As for the warehouse: Dagster goes by the machine's clock.
        before = system_clock() - timedelta(days=services.settings.keep_history_days)
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


def _raw_pulls(*, on_s3: bool) -> dg.AssetsDefinition:
    @asset(
        **_described("raw_pulls", {"json", "s3"} if on_s3 else {"json"}),
        description=(
            "Raw pulls of every network with the many small files of a finished day merged into "
            "one; every answer is kept. A file that cannot be read whole stays as it is, and fails "
            "the check."
        ),
        check_specs=[
            dg.AssetCheckSpec(
                WHOLE,
                asset=dg.AssetKey([GROUP, "raw_pulls"]),
                description="Every file that was looked at tonight is what was once written.",
            )
        ],
    )
    def raw_pulls(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # else Dagster sees two outputs in one
        ended_before = services.now() - SETTLED
        tidied: dict[str, Tidied] = {}
        for network in services.networks:
            pulls = RawPullStore(services.object_store, network)
            tidied[network] = done = pulls.tidy(ended_before)
            share = tonights_share(pulls.sizes(), services.now().date())
            found = filter(None, map(pulls.damage, share))
            done.examined, done.damaged = len(share), list(dict.fromkeys([*done.damaged, *found]))
            context.log.info("%s: %s", network, tidied[network])
        damaged = [message for one in tidied.values() for message in one.damaged]
        counts = [
            {"network": name, **asdict(one), "damaged": len(one.damaged)}
            for name, one in tidied.items()
        ]
        table = pl.DataFrame(counts)
        totals = table.drop("network").sum().row(0, named=True) if counts else {}
        return dg.MaterializeResult(
            metadata={**totals, "networks": table_metadata(table)},
            check_results=[
                dg.AssetCheckResult(
                    passed=not damaged,
                    check_name=WHOLE,
                    metadata={"damaged": len(damaged), "files": "\n".join(damaged[:20])},
                )
            ],
        )

    return raw_pulls


def _publication(*, on_s3: bool) -> dg.AssetsDefinition:
    @asset(
        **_described("publication", {"json", "s3"} if on_s3 else {"json"}),
        description=(
            "Published files without those that a newer publication replaced more than "
            "AQ_KEEP_PUBLICATION_HOURS ago."
        ),
    )
    def publication(services: dg.ResourceParam[Services]) -> dg.MaterializeResult[None]:
        # As for the warehouse: files are stamped by the machine's clock, or the store's.
        before = system_clock() - timedelta(hours=services.settings.keep_publication_hours)
        done = remove_unneeded(services.object_store, services.networks, before)
        return dg.MaterializeResult(metadata=asdict(done))

    return publication


def _sizes(when: str, size: Any) -> dict[str, int]:
    return {f"{name}_{when}": value for name, value in asdict(size).items()}
