"""A range in chunks: each computed, written, counted once; what changed meanwhile again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest

from aq_assets.stream import Tally, chunked
from aq_resources.io_managers import FrameStream, PartitionsLeftOut
from aq_resources.progress import listening
from aq_resources.stores.raw_pulls import DamagedPull
from aq_science.windows import DAY, Window
from tests.factories import HOUR, MIDNIGHT


class Context:
    """What a stream needs of Dagster's context: the run's window, a name and a log."""

    def __init__(self, days: int) -> None:
        self.partition_time_window = dg.TimeWindow(MIDNIGHT, MIDNIGHT + days * DAY)
        self.asset_key = dg.AssetKey(["net", "table"])
        self.log = logging.getLogger("test")


class RowTally(Tally):
    newest_by = "hour"

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails = fails
        self.rows = 0

    def count(self, frame: pl.DataFrame) -> None:
        self.rows += len(frame)

    def counts(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def tables(self) -> dict[str, pl.DataFrame]:
        return {"newest": self.newest}

    def finish(self) -> None:
        if self.fails:
            raise RuntimeError("nothing was of use")


def rows(window: Window) -> pl.DataFrame:
    return pl.DataFrame({"hour": [chunk.start for chunk in window.chunks(HOUR)]})


def stream(
    days: int, tally: Tally, compute: Callable[[Window], pl.DataFrame | None] = rows, **more: Any
) -> FrameStream:
    return chunked(Context(days), 2 * DAY, compute, tally, **more)  # type: ignore[arg-type]


def starts(made: FrameStream) -> list[float]:
    """Days from the run's first to each chunk's."""
    return [(window.start - MIDNIGHT) / DAY for window, _ in made.chunks]


def test_chunks_cover_the_window_in_order_and_are_counted() -> None:
    tally = RowTally()
    made = stream(5, tally)
    assert starts(made) == [0, 2, 4]
    shown = made.summary()
    assert shown["rows"] == 5 * 24
    assert [r.data["hour"] for r in shown["newest"].records] == ["2024-03-05 23:00Z"]


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    def refuse(window: Window) -> pl.DataFrame:
        raise AssertionError(window)

    stream(5, RowTally(), refuse)


def test_a_chunk_that_is_outdated_once_written_comes_again_and_counts_once() -> None:
    answers = iter([True, True, False, False, False])
    tally = RowTally()
    assert starts(stream(5, tally, outdated=lambda _: next(answers))) == [0, 0, 0, 2, 4]
    assert tally.rows == 5 * 24


def test_a_chunk_that_is_always_outdated_ends() -> None:
    tally = RowTally()
    assert starts(stream(1, tally, outdated=lambda _: True)) == [0] * 5
    assert tally.rows == 24


def test_partitions_beside_the_run_are_written_where_they_change_and_not_counted() -> None:
    changed, same = (Window(MIDNIGHT + n * DAY, MIDNIGHT + (n + 1) * DAY) for n in (-1, 2))
    tally = RowTally()
    made = stream(
        2,
        tally,
        lambda window: None if window == same else rows(window),
        beside=[same, changed],
    )
    assert starts(made) == [-1, 0]
    assert tally.rows == 2 * 24


def test_a_run_without_rows_shows_its_counts_alone() -> None:
    made = stream(3, RowTally(), lambda window: rows(window).clear())
    assert starts(made) == [0, 2]
    assert made.summary() == {"rows": 0}


def test_the_run_fails_after_its_last_chunk() -> None:
    written: list[Window] = []
    with pytest.raises(RuntimeError, match="nothing was of use"):
        written.extend(window for window, _ in stream(5, RowTally(fails=True)).chunks)
    assert len(written) == 3


def test_progress_counts_the_hours_of_the_run_and_no_others() -> None:
    made = stream(3, RowTally())
    heard: list[tuple[str, int, int]] = []
    with listening(lambda *report: heard.append(report)):
        made.progress(Window(MIDNIGHT - DAY, MIDNIGHT))
        for window, _ in made.chunks:
            made.progress(window)
    assert heard == [("net/table", 48, 72), ("net/table", 72, 72)]


def test_days_with_damaged_raw_pulls_are_left_out_and_named_at_the_end() -> None:
    bad = [MIDNIGHT + 2 * DAY, MIDNIGHT + 3 * DAY]

    def compute(window: Window) -> pl.DataFrame:
        for start in bad:
            if window.start <= start < window.end:
                raise DamagedPull(f"file://{start:%d}", f"days={start:%Y-%m-%d}", "cut off")
        return rows(window)

    tally = RowTally()
    made = stream(6, tally, compute)
    seen: list[float] = []
    with pytest.raises(PartitionsLeftOut, match=r"2024-03-03, 2024-03-04 stay.*1 more") as failure:
        for window, _ in made.chunks:
            seen += [(chunk.start - MIDNIGHT) / DAY for chunk in window.chunks(DAY)]
    assert seen == [0, 1, 4, 5]
    assert tally.rows == 4 * 24
    assert "file://03 is damaged (cut off)" in str(failure.value)
