"""What a run shows of what a network changed."""

from __future__ import annotations

import dagster as dg
import polars as pl

from aq_assets.revisions import RevisionTally
from aq_resources.io_managers import RUN
from aq_science.revisions import revisions
from aq_science.tables.revisions import REVISIONS
from tests.factories import DAY, HOUR, MIDNIGHT, versions


def changed(*values: float | None, station: str = "s1") -> pl.DataFrame:
    """One hour that had each of the values in turn; None takes it back."""
    rows = [
        {
            "station_id": station,
            "value_native": value,
            "status": "withdrawn" if value is None else None,
            "pulled_at": MIDNIGHT + DAY + n * HOUR,
        }
        for n, value in enumerate(values)
    ]
    return revisions(versions(*rows), "airqino")


def test_the_largest_are_listed_by_name_and_all_are_counted() -> None:
    tally = RevisionTally({"s1": "Rome"})
    tally.add(changed(10.0, 12.0, None))
    tally.add(changed(10.0, 90.0, station="s2"))
    shown = tally.metadata()
    assert shown[RUN] == {"revisions": 3, "withdrawn": 1}
    assert shown["by_parameter"] == {"pm25": 3}
    largest = [record.data for record in shown["largest"].records]
    assert [(row["station"], row["change"]) for row in largest] == [("s2", 80.0), ("Rome", 2.0)]
    assert isinstance(shown["plot"], dg.MarkdownMetadataValue)


def test_a_run_without_changes_has_nothing_to_draw() -> None:
    tally = RevisionTally({})
    tally.add(REVISIONS.schema.to_frame())
    shown = tally.metadata()
    assert shown[RUN] == {"revisions": 0, "withdrawn": 0}
    assert "plot" not in shown
