"""What a network changed of hours that were already known, a row a change."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.calendars import Bars, bars
from aq_assets.declare import asset
from aq_assets.describe import FILES, TABLES, described, title
from aq_assets.partitions import ONE_RUN, daily_partitions, windows_around
from aq_assets.plots import picture
from aq_assets.stations import names_of_stations
from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import RUN, FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_science.quality.suite import STANDARD
from aq_science.revisions import revisions
from aq_science.tables.revisions import REVISIONS
from aq_science.windows import Window

# Of each parameter, since their units differ.
_LARGEST = 3
_SHOWN = (
    "station_id",
    "parameter",
    "hour",
    "value_before",
    "value_after",
    "change",
    "unit",
    "changed_at",
)


def build_revisions(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/revisions`: one row a change of an hour that was already known."""

    @asset(
        **described(
            config, "revisions", io_manager=TABLES, kinds={"duckdb", "polars"}, table=REVISIONS
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        ins={
            "raw_pulls": dg.AssetIn(
                [config.name, "raw_pulls"],
                partition_mapping=windows_around(0, 0),
                input_manager_key=FILES,
            )
        },
        description=(
            f"What {title(config)} changed of hours that were already known: when, from which "
            "value to which, or that it took the value back."
        ),
    )
    def network_revisions(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        raw_pulls: RawPullStore,
    ) -> FrameStream:
        reader = VersionReader(raw_pulls, services.client(config.name))
        reference_c = services.settings.gas_reference_celsius

        def compare(days: Window) -> pl.DataFrame:
            # As hourly readings are made: by the hours beside a sensor is selected, too.
            versions, _ = reader.read_around(days, STANDARD.with_context(days))
            return revisions(versions, config.name, reference_c, within=days)

        names = names_of_stations(services, config.name)
        return chunked(context, services.chunk, compare, RevisionTally(names))

    return network_revisions


class RevisionTally(Tally):
    """Changes by parameter and day, those that took a value back, and the largest."""

    newest_by = "date"

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.by_parameter: Counter[str] = Counter()
        self.withdrawn = 0
        self.largest = REVISIONS.schema.to_frame()

    def count(self, frame: pl.DataFrame) -> None:
        self.by_parameter.update(dict(frame.group_by("parameter").len().iter_rows()))
        self.withdrawn += int((frame["status_after"] == "withdrawn").sum())
        size = pl.col("change").abs()
        rows = pl.concat([self.largest, frame.filter(size > 0)])
        self.largest = rows.sort("parameter", size, descending=[False, True]).filter(
            pl.int_range(pl.len()).over("parameter") < _LARGEST
        )

    def counts(self) -> dict[str, Any]:
        return {
            RUN: {"revisions": self.by_parameter.total(), "withdrawn": self.withdrawn},
            "by_parameter": dict(self.by_parameter.most_common()),
        }

    def points(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.group_by("parameter", "date").len()

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:
        if points.is_empty():
            return {}
        dates = points["date"].to_list()
        days = Window.of_days(min(dates), max(dates)).dates
        counts = {
            str(name): dict(part.select("date", "len").iter_rows())
            for (name,), part in points.sort("parameter")
            .partition_by("parameter", as_dict=True, maintain_order=True)
            .items()
        }
        parts = {name: [float(own.get(day, 0)) for day in days] for name, own in counts.items()}
        title = "Changes of hours already known, by their UTC day"
        return {"plot": picture(bars(title, days, [Bars("changes", parts)]))}

    def tables(self) -> dict[str, pl.DataFrame]:
        return {"largest": self.largest.select(_SHOWN)}
