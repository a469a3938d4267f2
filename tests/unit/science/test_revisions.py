"""What was changed of known hours: as many rows as the fold counts, each with its two sides."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.readings import hourly_readings
from aq_science.revisions import revisions
from aq_science.tables.core import broken_rows
from aq_science.tables.revisions import REVISIONS
from aq_science.versions import fold_versions
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, versions
from tests.laws import examples

PULLS = [MIDNIGHT + DAY + n * HOUR for n in range(5)]
HOURS = ["station_id", "parameter", "hour"]

rows = st.fixed_dictionaries(
    {
        "station_id": st.sampled_from(["s1", "s2"]),
        "parameter": st.sampled_from(["pm25", "co"]),
        "hour": st.sampled_from([MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + DAY]),
        "value_native": st.sampled_from([None, 1.0, 2.0]),
        "unit_native": st.sampled_from(["µg/m³", "mg/m³", "parsec", None]),
        "coverage": st.sampled_from([None, 0.5]),
        "sensor_id": st.sampled_from([None, "a", "b"]),
        "status": st.sampled_from([None, None, "preliminary", "withdrawn"]),
        "pulled_at": st.sampled_from(PULLS),
    }
).map(lambda row: {**row, "value_native": None} if row["status"] == "withdrawn" else row)
histories = st.lists(rows, max_size=25)


def changes(*given_rows: dict[str, Any], within: Window | None = None) -> pl.DataFrame:
    return revisions(versions(*given_rows), "n", within=within)


def history(*values: float | None, **other: Any) -> list[dict[str, Any]]:
    """One hour, as pull after pull gave it; None takes it back."""
    return [
        {"value_native": v, "pulled_at": at, "status": "withdrawn" if v is None else None, **other}
        for v, at in zip(values, PULLS, strict=False)
    ]


def test_a_change_has_both_values_and_their_times() -> None:
    [row] = changes(*history(1.0, 1.0, 4.0)).to_dicts()
    assert row == {
        "network": "n",
        "station_id": "s1",
        "parameter": "pm25",
        "date": MIDNIGHT.date(),
        "hour": MIDNIGHT,
        "revision": 1,
        "known_since": PULLS[0],
        "changed_at": PULLS[2],
        "value_before": 1.0,
        "value_after": 4.0,
        "change": 3.0,
        "unit": "µg/m³",
        "status_after": None,
        "sensor_before": None,
        "sensor_after": None,
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1.0], [], id="first-value"),
        pytest.param([1.0, 1.0], [], id="the-same-again"),
        pytest.param([None, 1.0], [], id="value-after-nothing-is-the-first"),
        pytest.param([1.0, None], [(1, 1.0, None, None)], id="taken-back"),
        pytest.param([1.0, 2.0, 1.0], [(1, 1.0, 2.0, 1.0), (2, 2.0, 1.0, -1.0)], id="and-back"),
        pytest.param(
            [1.0, None, 1.0], [(1, 1.0, None, None), (2, None, 1.0, None)], id="comes-again"
        ),
    ],
)
def test_an_hours_changes(values: list[float | None], expected: list[tuple[Any, ...]]) -> None:
    found = changes(*history(*values))
    assert found.select("revision", "value_before", "value_after", "change").rows() == expected


def test_values_are_compared_in_the_canonical_unit() -> None:
    given = [
        {"value_native": 1.0, "unit_native": "mg/m³", "pulled_at": PULLS[0]},
        {"value_native": 1000.0, "unit_native": "µg/m³", "pulled_at": PULLS[1]},
        {"value_native": 1.0, "unit_native": "parsec", "pulled_at": PULLS[2]},
    ]
    found = changes(*given).select("value_before", "value_after", "change").rows()
    assert found == [(1000.0, 1000.0, 0.0), (1000.0, None, None)]


def test_another_sensor_is_named() -> None:
    given = [{"sensor_id": "a", "pulled_at": PULLS[0]}, {"sensor_id": "b", "pulled_at": PULLS[1]}]
    [row] = changes(*given).to_dicts()
    assert (row["sensor_before"], row["sensor_after"], row["change"]) == ("a", "b", 0.0)


def test_an_hour_has_nothing_of_the_hour_before() -> None:
    found = changes(*history(1.0, 2.0), *history(7.0, 9.0, hour=MIDNIGHT + HOUR))
    assert found["value_before"].to_list() == [1.0, 7.0]


@settings(max_examples=examples(40))
@given(histories)
def test_there_are_as_many_as_the_fold_counts(given_rows: list[dict[str, Any]]) -> None:
    """And the last of them leads to what the reading is."""
    readings = hourly_readings(fold_versions(versions(*given_rows)), "n")
    found = changes(*given_rows)
    counted = found.group_by(HOURS).len()
    expected = readings.filter(pl.col("revision") > 0)
    assert_frame_equal(
        counted.sort(HOURS),
        expected.select(*HOURS, pl.col("revision").cast(pl.UInt32).alias("len")).sort(HOURS),
    )
    last = found.group_by(HOURS).agg(pl.all().sort_by("revision").last()).sort(HOURS)
    assert_frame_equal(
        last.select(
            *HOURS,
            "revision",
            pulled_at="changed_at",
            value="value_after",
            sensor_id="sensor_after",
        ),
        expected.select(*HOURS, "revision", "pulled_at", "value", "sensor_id").sort(HOURS),
    )


@given(histories)
def test_each_begins_where_the_one_before_ended(given_rows: list[dict[str, Any]]) -> None:
    found = changes(*given_rows).select(
        "revision",
        follows=(pl.col("known_since") == pl.col("changed_at").shift(1).over(HOURS))
        & pl.col("value_before").eq_missing(pl.col("value_after").shift(1).over(HOURS)),
    )
    assert found.filter(pl.col("revision") > 1)["follows"].all()


@given(histories)
def test_rows_are_as_declared_and_break_no_rule(given_rows: list[dict[str, Any]]) -> None:
    found = changes(*given_rows)
    assert found.schema == REVISIONS.schema
    assert {name: len(bad) for name, bad in broken_rows(REVISIONS, found).items() if len(bad)} == {}
    assert_frame_equal(found, found.sort(REVISIONS.key))


@given(histories, st.sampled_from(PULLS))
def test_what_was_changed_by_then_stays_what_was_changed(
    given_rows: list[dict[str, Any]], moment: datetime
) -> None:
    """Of hours that had a value: what was said before the first one counts only without it."""
    received = [row for row in given_rows if row["pulled_at"] <= moment]
    valued = versions(*received).filter(pl.col("value_native").is_not_null())
    known = changes(*received).join(valued, on=HOURS, how="semi", maintain_order="left")
    by_then = changes(*given_rows).filter(pl.col("changed_at") <= moment)
    assert_frame_equal(by_then.join(valued, on=HOURS, how="semi", maintain_order="left"), known)


@given(histories)
def test_a_window_has_its_own_hours(given_rows: list[dict[str, Any]]) -> None:
    window = Window(MIDNIGHT, MIDNIGHT + DAY)
    every = changes(*given_rows)
    inside = pl.col("hour").is_between(window.start, window.end, closed="left")
    assert_frame_equal(changes(*given_rows, within=window), every.filter(inside))


def good() -> pl.DataFrame:
    return changes(*history(1.0, 2.0, None), *history(7.0, 9.0, station_id="s2"))


@pytest.mark.parametrize(
    ("rule", "spoiled"),
    [
        ("numbered_in_order", {"revision": pl.col("revision") + 1}),
        ("numbered_in_order", {"changed_at": pl.col("known_since") - HOUR}),
        ("numbered_in_order", {"date": pl.col("date") + DAY}),
        ("change_adds_up", {"change": pl.col("change") + 1}),
        ("change_adds_up", {"change": pl.lit(None, pl.Float64)}),
        ("withdrawn_has_no_value", {"value_after": pl.lit(3.0)}),
    ],
)
def test_rows_that_break_a_rule_are_found(rule: str, spoiled: dict[str, pl.Expr]) -> None:
    assert not any(len(bad) for bad in broken_rows(REVISIONS, good()).values())
    assert len(broken_rows(REVISIONS, good().with_columns(**spoiled))[rule])


def test_a_change_that_is_missing_is_found() -> None:
    found = broken_rows(REVISIONS, good().filter(pl.col("revision") != 1))
    assert len(found["numbered_in_order"]) == 1
