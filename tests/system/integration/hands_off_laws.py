"""What is true after the story, whatever it was kept in (`hands_off_story`)."""

from __future__ import annotations

import polars as pl

from aq_science.windows import HOUR
from tests.system.integration.hands_off_story import (
    HOURS,
    REVISED,
    STATIONS,
    Story,
    left_failed,
    notified,
    pm25_of,
)
from tests.system.integration.harness import Installation


def since(story: Story, table: pl.DataFrame, column: str) -> pl.DataFrame:
    """The rows of the story's own days."""
    return table.filter(pl.col(column).cast(pl.Date) >= story.start.date())


class HandsOffLaws:
    """The tests of a module that has a fixture `story`."""

    def test_hourly_readings_equal_a_plain_backfill(self, story: Story) -> None:
        ours, plain = (
            since(story, one.table("hourly_readings"), "hour").drop("revision")
            for one in (story.hands_off, story.plain)
        )
        assert len(ours) > 3 * HOURS
        assert ours["hour"].max() == story.end - HOUR
        assert ours.equals(plain)

    def test_daily_averages_equal_a_plain_backfill(self, story: Story) -> None:
        # Silent days are due from a station's first description on, which is another one here.
        ours, plain = (
            since(story, one.table("daily_averages"), "date").filter(
                pl.col("reason").ne_missing("no_reading")
            )
            for one in (story.hands_off, story.plain)
        )
        assert len(ours) > 0
        assert ours.equals(plain)

    def test_the_revision_was_noticed_and_kept_apart(self, story: Story) -> None:
        rows = pm25_of(story.hands_off, STATIONS[2]).filter(
            pl.col("hour").is_in([story.start + n * HOUR for n in REVISED])
        )
        assert rows["value"].to_list() == [77.25] * len(REVISED)
        assert rows["revision"].to_list() == [1] * len(REVISED)

    def test_every_hour_has_its_forecast(self, story: Story) -> None:
        key = ["station_id", "parameter", "issued_for", "horizon"]

        def issued(one: Installation) -> pl.DataFrame:
            rows = one.table("forecasts").filter(
                pl.col("issued_for").is_between(story.start + HOUR, story.end)
            )
            return rows.select(key).sort(key)

        ours = issued(story.hands_off)
        assert len(ours) == HOURS * len(STATIONS) * 2 * 2
        assert ours.equals(issued(story.plain))

    def test_no_run_is_left_failed_without_an_alert(self, story: Story) -> None:
        with story.hands_off.instance() as instance:
            failed = left_failed(instance)
        assert notified(failed, story.alerts), ([run.job_name for run in failed], story.alerts)
