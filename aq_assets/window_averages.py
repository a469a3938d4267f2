"""Averages of what devices pushed, over windows of seconds."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg
import msgspec
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import TABLES, described, title
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of
from aq_assets.stream import Progress
from aq_resources.io_managers import RUN, FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.devices.bodies import instant_of, readings_of
from aq_resources.networks.devices.client import DevicesClient
from aq_resources.services import Services
from aq_resources.spool.frames import Readings
from aq_resources.spool.home import STORED, Segment
from aq_resources.stores.raw_pulls import RawPullStore, folder_name
from aq_science.devices.readings import READING_SCHEMA
from aq_science.devices.windows import window_averages
from aq_science.tables.window_averages import WINDOW_AVERAGES
from aq_science.windows import DAY, HOUR, Window

# Tag of the runs that bring windows up to date with what has just come; other runs make whole days
# again.
PENDING_ONLY = "aq/pending_only"

_HOUR_US = 3_600_000_000
# Hours made from one reading of the raw pulls: bounds memory.
_TOGETHER = 6 * HOUR
# A reading is refused that comes from further ahead: older files have none of an hour.
_AHEAD = HOUR
# As often a part is made again because more was stored meanwhile.
_ROUNDS = 5


def build_window_averages(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/window_averages`: one row a device, sensor and window."""

    @asset(
        **described(
            config,
            WINDOW_AVERAGES.name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=WINDOW_AVERAGES,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        description=(
            f"Count, mean and extremes of what {title(config)} pushed, over windows of seconds. A "
            "late reading changes its window."
        ),
    )
    def windows(
        context: dg.AssetExecutionContext,
        services: dg.ResourceParam[Services],
        raw_pulls: RawPullStore,
    ) -> FrameStream:
        client = services.client(config.name)
        if not isinstance(client, DevicesClient):
            raise TypeError(f"{config.name} has no spool")
        tally = WindowTally()
        asked = window_of(context)
        parts = _parts(
            client, raw_pulls, tally, asked, pending_only=PENDING_ONLY in context.run.tags
        )
        return FrameStream(parts, summary=tally.metadata, progress=Progress(context, asked))

    return windows


def _parts(
    client: DevicesClient,
    pulls: RawPullStore,
    tally: "WindowTally",
    asked: Window,
    *,
    pending_only: bool,
) -> Iterator[tuple[Window, pl.DataFrame]]:
    """Parts of days with their windows; once the last one of a day is stored, it is settled."""
    for day in asked.dates:
        pending = client.spool.segments(day, STORED)
        whole = Window.of_days(day, day)
        parts = _touched(client, pending) if pending_only else list(whole.chunks(_TOGETHER))
        for part in parts:
            for _ in range(_ROUNDS):
                before = set(pulls.keys(folder_name(whole)))
                frame = _made(client, pulls, tally, day, part)
                yield part, frame
                if before.issuperset(pulls.keys(folder_name(whole))):
                    break
            tally.count(frame)
        tally.segments += len(pending)
        client.settle(pending)


def _touched(client: DevicesClient, segments: Sequence[Segment]) -> list[Window]:
    """Hours with a reading in one of the segments, those that follow each other as one window."""
    hours = sorted(
        {
            time // _HOUR_US
            for segment in segments
            for frame in client.spool.frames(segment)
            if isinstance(frame, Readings)
            for time in frame.time
        }
    )
    parts: list[Window] = []
    for number in hours:
        start = instant_of(number * _HOUR_US)
        last = parts[-1] if parts else None
        if last is not None and last.end == start and start - last.start < _TOGETHER:
            parts[-1] = Window(last.start, start + HOUR)
        else:
            parts.append(Window(start, start + HOUR))
    return parts


def _made(
    client: DevicesClient, pulls: RawPullStore, tally: "WindowTally", day: date, part: Window
) -> pl.DataFrame:
    """The windows of a part of a day, out of all that was ever received of it."""
    found = [READING_SCHEMA.to_frame()]
    folder = folder_name(Window.of_days(day, day))
    for answer in pulls.read(folder, since=part.start - _AHEAD):
        if part.overlaps(answer.covers):
            try:
                found.append(readings_of(answer))
            except (msgspec.DecodeError, pl.exceptions.PolarsError, ValueError):
                # `hourly_readings` names it.
                tally.unreadable += 1
    own = client.settings
    return window_averages(
        pl.concat(found).filter(pl.col("time").is_between(part.start, part.end, closed="left")),
        own.window_seconds,
        own.interval_seconds,
        client.name,
    )


class WindowTally:
    """What a run came to."""

    def __init__(self) -> None:
        self.windows = self.readings = self.partial = self.late = 0
        self.segments = self.unreadable = 0

    def count(self, frame: pl.DataFrame) -> None:
        """Take the windows of a part into account."""
        self.windows += frame.height
        self.readings += int(frame["count"].sum())
        self.partial += int(frame["partial"].sum())
        self.late += int(frame["late"].sum())

    def metadata(self) -> dict[str, Any]:
        """The counts."""
        return {
            RUN: {
                "windows": self.windows,
                "readings": self.readings,
                "partial_windows": self.partial,
                "late_readings": self.late,
                "segments": self.segments,
                "unreadable_answers": self.unreadable,
            }
        }


def expire_windows(services: Services, network: str) -> None:
    """Let windows go that are older than has to be kept."""
    client = services.client(network)
    if isinstance(client, DevicesClient):
        first = services.networks[network].start_date
        last = (services.now() - client.settings.keep_window_days * DAY).date()
        if first < last:
            bounds = WINDOW_AVERAGES.bounds(Window.of_days(first, last - DAY))
            empty = WINDOW_AVERAGES.schema.to_frame()
            services.warehouse.replace(network, WINDOW_AVERAGES, empty, bounds)
