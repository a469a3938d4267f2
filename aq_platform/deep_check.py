"""`aq doctor --deep`: every stored file read to its end, and what can be made again made again.

Raw pulls are all that cannot be: they are named, with the days to ask the network for once more.
Hourly files and the warehouse's tables follow from them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar

import dagster as dg
import polars as pl
from rich.console import Console
from rich.progress import track

from aq_platform.definitions import build_defs
from aq_platform.runs import Runner, RunResult
from aq_resources.failures import PermanentFailure
from aq_resources.io_managers import HOUR_KEY
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_resources.stores.object_store import MissingObject
from aq_resources.stores.raw_pulls import RawPullStore
from aq_resources.warehouse.verification import DamagedFile
from aq_science.tables.registry import WAREHOUSE_TABLES

FILE_ASSETS = ("hourly_readings", "network_models", "forecast_models")
_EVENTS_AT_ONCE = 500
_NAMED = 5

T = TypeVar("T")


class DeepCheck:
    """One examination of an installation.

    Args:
        services: Settings, stores and networks.
        instance: Where materializations, and runs that make something again, are recorded.
        console: Shows how far it is.
    """

    def __init__(self, services: Services, instance: dg.DagsterInstance, console: Console) -> None:
        self._services, self._instance, self._console = services, instance, console
        self._runner = Runner(services, build_defs(services), instance)

    def raw_pulls(self, network: str) -> str:
        """Read a network's raw pulls.

        Returns:
            How many there are.

        Raises:
            PermanentFailure: With the damaged files, and what to do.
        """
        pulls = RawPullStore(self._services.object_store, network)
        keys = list(pulls.sizes())
        looked = self._progress(keys, f"{network}: raw pulls")
        if damaged := list(filter(None, map(pulls.damage, looked))):
            raise PermanentFailure("\n".join(damaged))
        return f"{len(keys)} files are whole"

    def day_files(self, network: str, asset: str) -> str:
        """Read an asset's daily files, and make damaged ones again.

        Returns:
            How many there are, and what was repaired.

        Raises:
            PermanentFailure: Some could not be made again.
        """
        files = self._services.files.day_files(network, asset)
        days = files.days()
        recorded = self._recorded(network, asset)
        damaged = {
            day: reason
            for day in self._progress(days, f"{network}: {asset}")
            if (reason := _wrong(files, day, recorded.get(day.isoformat())))
        }
        damaged |= {
            date.fromisoformat(key): "it is gone" for key in recorded.keys() - {*map(str, days)}
        }
        for day in damaged:
            # What follows from raw pulls only; as it is, it would fail the run that makes it again.
            files.store.delete(files.key(day))
        said = [f"{files.store.uri(files.key(day))}: {why}" for day, why in damaged.items()]
        spans = [(day.isoformat(), day.isoformat()) for day in damaged]
        return self._repaired(network, asset, f"{len(days)} files", said, spans)

    def warehouse(self) -> str:
        """Read the warehouse's files, forget damaged ones and make their partitions again.

        Returns:
            How many there are, and what was repaired.

        Raises:
            PermanentFailure: Some could not be made again.
        """
        looked, damaged = self._services.warehouse.verify()
        if not damaged:
            return f"{looked} files are whole"
        self._services.warehouse.forget(damaged)
        repaired, failed = [], []
        for file in damaged:
            said = [f"{file.uri}: {file.reason}"]
            # Forgotten, it is not found again: each has its turn, whatever becomes of another.
            try:
                repaired.append(self._repaired(file.network, file.table, "", said, [_span(file)]))
            except PermanentFailure as failure:
                failed.append(
                    f"{failure.message} It held {file.network}.{file.table} {_span(file)}."
                )
        if failed:
            raise PermanentFailure("\n".join(failed))
        return f"{looked} files; " + "; ".join(repaired)

    def _repaired(
        self,
        network: str,
        asset: str,
        looked: str,
        damaged: list[str],
        spans: Sequence[tuple[str, str] | None],
    ) -> str:
        if not damaged:
            return f"{looked} are whole"
        results = [self._again(network, asset, span) for span in spans]
        named = "\n".join([*damaged[:_NAMED], *["…"][: len(damaged) > _NAMED]])
        failures = [reason for result in results for reason in result.failures]
        if failures:
            raise PermanentFailure(
                f"{named}\nCould not be made again: {failures[0]} Repair that, then run this again."
            )
        return f"{looked} {len(damaged)} damaged, made again: {named}".strip()

    def _again(self, network: str, asset: str, span: tuple[str, str] | None) -> RunResult:
        config = self._services.networks.get(network)
        if config is None or asset not in (*FILE_ASSETS, *WAREHOUSE_TABLES):
            raise PermanentFailure(
                f"{network}.{asset} belongs to no network that is enabled: its file is forgotten."
            )
        return self._runner.again(config, asset, span)

    def _recorded(self, network: str, asset: str) -> dict[str, str]:
        """The checksum of each day's newest materialization, by partition key."""
        log, key = self._instance.event_log_storage, dg.AssetKey([network, asset])
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        newest = [*log.get_latest_storage_id_by_partition(key, kind).values()]
        found = {}
        for at in range(0, len(newest), _EVENTS_AT_ONCE):
            part = newest[at : at + _EVENTS_AT_ONCE]
            records = self._instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key, storage_ids=part), limit=len(part)
            ).records
            for record in records:
                made = record.asset_materialization
                if made is not None and made.partition and "sha256" in made.metadata:
                    found[made.partition] = str(made.metadata["sha256"].value)
        return found

    def _progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        yield from track(items, what, console=self._console, transient=True)


def _wrong(files: DayFiles, day: date, recorded: str | None) -> str | None:
    """What is wrong with a day's file; None where it is what was written."""
    try:
        data = files.store.get(files.key(day))
        pl.read_parquet(io.BytesIO(data))
    except MissingObject:
        # Replaced or removed meanwhile.
        return None
    except (pl.exceptions.PolarsError, OSError) as error:
        return str(error).splitlines()[0]
    if recorded is not None and hashlib.sha256(data).hexdigest() != recorded:
        return "it is not what its newest materialization wrote"
    return None


def _span(file: DamagedFile) -> tuple[str, str] | None:
    """First and last partition key of what a file of the warehouse held."""
    if file.first is None or file.last is None:
        return None

    def key(text: str) -> str:
        moment = datetime.fromisoformat(text)
        if len(text) == len("2025-01-01"):
            return text
        return moment.astimezone(UTC).strftime(HOUR_KEY)

    return key(file.first), key(file.last)
