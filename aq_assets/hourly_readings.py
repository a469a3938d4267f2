"""Hourly readings of a network: the fold of its raw pulls, in canonical units, flagged."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, described, title
from aq_assets.metadata import percent, table_metadata
from aq_assets.panels import SHOWN, station_names, station_panels
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of
from aq_assets.plots import plot
from aq_assets.stream import Tally, chunked
from aq_resources.failures import PermanentFailure
from aq_resources.io_managers import RUN, FrameStream
from aq_resources.network_client import SET_ASIDE
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_resources.stores.raw_pulls import DamagedPull, RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_science.quality.core import SEEN_BY_TESTS, Suite
from aq_science.quality.suite import STANDARD, neighbours_of
from aq_science.readings import hourly_readings, in_canonical_units
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.versions import fold_versions
from aq_science.windows import DAY, Window

# What the plot shows: enough to see a station fall silent or drift, and cheap to read every hour.
_PLOT_DAYS, _PLOT_STEP = 7, "3h"

# Metadata of a run: how many answers made the parser raise. A table of them is named `SET_ASIDE`.
ANSWERS_SET_ASIDE = "answers_set_aside"


def build_hourly_readings(config: NetworkConfig, suite: Suite = STANDARD) -> dg.AssetsDefinition:
    """`<network>/hourly_readings`: one row a station, parameter and hour, flagged by `suite`."""
    partitions = daily_partitions(config)

    @asset(
        **described(
            config,
            "hourly_readings",
            io_manager=FILES,
            kinds={"parquet", "polars"},
            table=HOURLY_READINGS,
        ),
        partitions_def=partitions,
        backfill_policy=ONE_RUN,
        description=(
            f"Hourly readings of {title(config)}: newest pull wins, canonical units, quality flags "
            "with reasons. Stamps are the UTC start of the hour."
        ),
    )
    def hourly(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        raw_pulls: RawPullStore,
    ) -> FrameStream:
        reader = VersionReader(raw_pulls, services.client(config.name))
        files = services.files.day_files(config.name, "hourly_readings")
        stations = services.warehouse.rows(config.name, STATIONS)
        own = window_of(context)
        beside = [
            Window.of_days(day, day)
            for day in suite.affected_days(own)
            if partitions.has_partition_key(day.isoformat()) and files.exists(day)
        ]
        fold = _Fold(
            reader,
            files,
            suite,
            config.name,
            services.settings.gas_reference_celsius,
            neighbours_of(stations),
            own,
            beside,
        )
        tally = ReadingTally(
            reader, title(config), station_names(stations), lambda: _recent(files, own.dates[-1])
        )
        return chunked(context, services.chunk, fold, tally, day_details, fold.outdated, beside)

    return hourly


@dataclass(frozen=True)
class _Fold:
    """Hourly readings of some days, out of the raw pulls of these and of those that the tests see.

    `own` are the run's days; `beside` those whose flags a change within them may reach.
    `neighbours` are the stations' as they are known today: one that is described later, or moves,
    changes flags when the day is folded again.
    """

    reader: VersionReader
    files: DayFiles
    suite: Suite
    network: str
    reference_c: float
    neighbours: pl.DataFrame
    own: Window
    beside: Sequence[Window]
    # What was read to decide on each.
    _read_for: dict[Window, Window] = field(default_factory=dict)

    def __call__(self, days: Window) -> pl.DataFrame | None:
        """The rows; None where a day beside the run's stays as it is."""
        is_beside = days in self.beside
        try:
            if is_beside and not self._reaches(days):
                return None
            versions = fold_versions(self._read(days))
        except DamagedPull:
            if is_beside:
                return None
            raise
        frame = hourly_readings(
            versions,
            self.network,
            self.reference_c,
            self.suite,
            within=days,
            neighbours=self.neighbours,
        )
        unchanged = is_beside and frame.equals(self.files.scan_days(days.dates).collect())
        return None if unchanged else frame

    def outdated(self, days: Window) -> bool:
        """Whether more was stored since the days were read."""
        return self.reader.outdated(self._read_for.get(days, self.suite.with_context(days)))

    def _read(self, days: Window) -> pl.DataFrame:
        versions, seen = self.reader.read_around(days, self.suite.with_context(days))
        self._read_for[days] = seen
        return versions

    def _reaches(self, beside: Window) -> bool:
        """Whether what the tests see of the run's own days has changed since it was stored."""
        seen = self.suite.with_context(beside)
        near = Window(max(seen.start, self.own.start), min(seen.end, self.own.end))
        self._read_for[beside] = near
        versions = fold_versions(self.reader.read(near))
        now = in_canonical_units(versions, self.reference_c)
        stored = self.files.scan_days([day for day in near.dates if self.files.exists(day)])
        return not now.select(SEEN_BY_TESTS).equals(stored.select(SEEN_BY_TESTS).collect())


def day_details(readings: pl.DataFrame) -> dict[date, dict[str, Any]]:
    """The numbers that the UI plots over days, by day."""
    days = readings.group_by(pl.col("hour").dt.date().alias("day")).agg(
        stations=pl.col("station_id").n_unique(),
        valid_percent=((pl.col("flag") == "valid").mean() * 100).round(1),
        revised_hours=(pl.col("revision") > 0).sum(),
    )
    return {row.pop("day"): row for row in days.iter_rows(named=True)}


def _recent(files: DayFiles, last: date) -> pl.DataFrame:
    """What to plot of the days up to the last, as they are stored."""
    first = last - (_PLOT_DAYS - 1) * DAY
    days = [day for day in files.days(since=first) if first <= day <= last]
    valid = pl.col("value").filter(pl.col("flag") == "valid")
    return (
        files.scan_days(days)
        .filter(pl.col("parameter").is_in(list(SHOWN)))
        .group_by("station_id", "parameter", time=pl.col("hour").dt.truncate(_PLOT_STEP))
        .agg(value=valid.mean())
        .collect()
    )


class ReadingTally(Tally):
    """Counts of flags and tests, what could not be read, and a plot of the last days."""

    newest_by = "hour"

    def __init__(
        self,
        reader: VersionReader,
        network: str,
        names: Mapping[str, str],
        recent: Callable[[], pl.DataFrame],
    ) -> None:
        """Counts nothing yet.

        Args:
            reader: Knows what could not be read.
            network: Its title.
            names: Of its stations, by id.
            recent: Reads what is plotted once all chunks are stored: `station_id`, `parameter`,
                `time` (UTC) and `value`.
        """
        super().__init__(names)
        self.reader = reader
        self.network = network
        self.recent = recent
        self.flags: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.revised = 0
        self.stations: set[str] = set()

    def count(self, frame: pl.DataFrame) -> None:
        self.flags.update(dict(frame.group_by("flag").len().iter_rows()))
        fired = frame.filter(pl.col("reasons").list.len() > 0)["reasons"].explode()
        self.reasons.update(dict(fired.value_counts().iter_rows()))
        self.revised += int((frame["revision"] > 0).sum())
        self.stations.update(frame["station_id"].unique().to_list())

    def counts(self) -> dict[str, Any]:
        problems = self.reader.problems
        set_aside = [row for row in problems.rows() if row["problem"] == SET_ASIDE]
        shown: dict[str, Any] = {
            RUN: {
                "stations": len(self.stations),
                "valid_percent": percent(self.flags["valid"], self.flags.total()),
                "revised_hours": self.revised,
                "hours_by_flag": dict(self.flags.most_common()),
                "hours_by_test": dict(self.reasons.most_common()),
            },
            "malformed_records": problems.total,
            "unreadable_stations": sorted(self.reader.unreadable),
            ANSWERS_SET_ASIDE: sum(int(row["records"]) for row in set_aside),
        }
        if problems.total:
            shown["problems"] = table_metadata(pl.DataFrame(problems.rows()))
        if set_aside:
            shown[SET_ASIDE] = table_metadata(pl.DataFrame(set_aside))
        return shown

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:  # noqa: ARG002
        panels = station_panels(self.recent(), self.names)
        name = f"{self.network}: valid hours, means of {_PLOT_STEP[:-1]} h, UTC"
        return {"plot": plot(name, panels)} if panels else {}

    def finish(self) -> None:
        """Fail where not one record of any station could be read: the upstream form changed."""
        if self.reader.unreadable and not self.stations:
            (station, kind), text = next(iter(self.reader.problems.examples.items()))
            raise PermanentFailure(
                f"Not one record of {self.network} could be read, so its answers no longer have "
                f"the known form. First problem: station {station}, {kind}: {text!r}. The answers "
                "are kept: fix the client's parser and materialize this again."
            )
