"""A range of any length in one run: worked through in chunks, counted on the way.

Memory is bounded by a chunk. An asset gives the function of one chunk and a tally of what went by;
the rest is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, ClassVar

import dagster as dg
import duckdb
import polars as pl

from aq_assets.metadata import named, table_metadata
from aq_assets.partitions import window_of
from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.io_managers import FrameStream, PartitionsLeftOut
from aq_resources.progress import report
from aq_resources.stores.raw_pulls import DamagedPull
from aq_science.windows import DAY, HOUR, Window

# As often as this a chunk is written again because what it was made from changed meanwhile.
_ROUNDS = 5
# A picture shows what is stored beside the run, which may not be readable.
_UNREADABLE = (duckdb.Error, pl.exceptions.PolarsError, OSError, PermanentFailure, TransientFailure)
# So many days a message names.
_NAMED = 5

DayDetails = Callable[[pl.DataFrame], Mapping[date, Mapping[str, Any]]]


class Tally(ABC):
    """What a run's chunks add up to, shown beside its materialization.

    Pictures and tables of the newest rows are put together here; a subclass says of what, and
    counts. Stations have their `names`, by id, where these are known.
    """

    # The greatest value of this column marks the newest rows.
    newest_by: ClassVar[str]

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.names = names or {}
        self.newest = pl.DataFrame()
        self._points: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take the rows of one chunk into account."""
        self.count(frame)
        if len(frame):
            self.newest = frame.filter(pl.col(self.newest_by) == pl.col(self.newest_by).max())
            self._points.append(self.points(frame))

    def metadata(self) -> dict[str, Any]:
        """Pictures, tables and counts: what a person looks at comes first."""
        shown: dict[str, Any] = {}
        if self._points:
            try:
                shown |= self.pictures(pl.concat(self._points))
            except _UNREADABLE as error:
                # The run's own rows are written; what lies beside them must not make it fail.
                shown["plot"] = f"There is none: {error}"
            tables = {name: named(rows, self.names) for name, rows in self.tables().items()}
            shown |= {name: table_metadata(rows) for name, rows in tables.items()}
        return shown | self.counts()

    @abstractmethod
    def count(self, frame: pl.DataFrame) -> None:
        """Count the rows of one chunk."""

    @abstractmethod
    def counts(self) -> dict[str, Any]:
        """The counts by name."""

    def points(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What a picture needs of one chunk: few rows, since they are kept for the whole run."""
        return frame.clear()

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:  # noqa: ARG002
        """What to draw, by the name of its entry; the points are those of all chunks."""
        return {}

    def tables(self) -> dict[str, pl.DataFrame]:
        """What to list of the newest rows (there are some), by the name of its entry."""
        return {}

    def finish(self) -> None:  # noqa: B027
        """Called after the last chunk: raises where the run as a whole has to fail."""


def chunked(
    context: dg.AssetExecutionContext,
    step: timedelta,
    compute: Callable[[Window], pl.DataFrame | None],
    tally: Tally,
    details: DayDetails = lambda frame: {},
    outdated: Callable[[Window], bool] = lambda window: False,
    beside: Collection[Window] = (),
) -> FrameStream:
    """The run's window as a stream of frames, a chunk at a time.

    Args:
        context: The asset's context, whose partitions are the window.
        step: Length of a chunk.
        compute: Rows of one chunk, a half-open UTC window; None where nothing is to be written.
        tally: Takes the rows of the run's own chunks, and is asked for metadata after the last.
        details: The numbers that the UI plots for each day of a chunk.
        outdated: Asked once a chunk is written: whether what it was made from has changed since,
            so that it is computed and written again.
        beside: Partitions outside the run's window that a change within it may reach; they are
            computed before the run's own.

    Returns:
        What the IO managers store. Days whose raw pulls are damaged are left out; the stream then
        ends with the `PartitionsLeftOut` that names them.
    """
    window = window_of(context)

    def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
        # Those beside first: what decides on them is how the run's own days are stored, and a run
        # that ends half way must find it so again.
        waiting = deque([*sorted(beside), *window.chunks(step)])
        damaged: dict[date, DamagedPull] = {}
        while waiting:
            chunk = waiting.popleft()
            try:
                for _ in range(_ROUNDS):
                    frame = compute(chunk)
                    if frame is not None:
                        yield chunk, frame
                    if not outdated(chunk):
                        break
            except DamagedPull as damage:
                if len(days := chunk.dates) > 1:
                    waiting.extendleft(reversed(list(chunk.chunks(DAY))))
                else:
                    damaged[days[0]] = damage
                continue
            if frame is not None and chunk not in beside:
                tally.add(frame)
        if damaged:
            raise _without(damaged)
        tally.finish()

    return FrameStream(chunks(), details, tally.metadata, Progress(context, window))


def _without(damaged: Mapping[date, DamagedPull]) -> PartitionsLeftOut:
    days = ", ".join(str(day) for day in sorted(damaged)[:_NAMED])
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    files = list(dict.fromkeys(damage.message for damage in damaged.values()))
    others = (
        f" {len(files) - 1} more are damaged: aq doctor --deep names them." if files[1:] else ""
    )
    return PartitionsLeftOut(
        f"{days}{more} stay as they were, all other days are written. {files[0]}{others}"
    )


class Progress:
    """Says how far a long range has come, in the run's log and to a listening terminal."""

    def __init__(self, context: dg.AssetExecutionContext, window: Window) -> None:
        self.context = context
        self.asset = context.asset_key.to_user_string()
        self.window = window
        self.total = max(1, int((window.end - window.start) / HOUR))
        self.done = 0

    def __call__(self, window: Window) -> None:
        """Note that `window` is done, unless it lies beside the run's."""
        if not self.window.start <= window.start < self.window.end:
            return
        self.done = min(self.total, self.done + int((window.end - window.start) / HOUR))
        report(self.asset, self.done, self.total)
        if self.total > timedelta(days=31) / HOUR:
            percent = self.done * 100 // self.total
            self.context.log.info("%s: up to %s (%d %%)", self.asset, window.end.date(), percent)
