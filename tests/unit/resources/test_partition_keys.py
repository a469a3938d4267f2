"""Partition keys by addition: what Dagster itself says, for every partition there may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.subset import TimeWindowPartitionsSubset
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.dagster_storage import partition_keys
from aq_resources.dagster_storage.partition_keys import all_keys, valid_keys, with_keys

START = datetime(2024, 3, 29)
# The clocks of Rome change within.
DEFINITIONS = st.one_of(
    st.builds(
        lambda hours, zone, offset, minute: dg.HourlyPartitionsDefinition(
            START + timedelta(hours=hours),
            timezone=zone,
            end_offset=offset,
            minute_offset=minute,
            fmt="%Y-%m-%d-%H:%M" if zone == "UTC" else "%Y-%m-%d-%H:%M%z",
        ),
        st.integers(0, 30),
        st.sampled_from(["UTC", "UTC", "UTC", "Europe/Rome"]),
        st.integers(-1, 2),
        st.sampled_from([0, 0, 0, 30]),
    ),
    st.builds(
        lambda days, hour, offset: dg.DailyPartitionsDefinition(
            START + timedelta(days=days), timezone="UTC", end_offset=offset, hour_offset=hour
        ),
        st.integers(0, 3),
        st.sampled_from([0, 0, 0, 6]),
        st.integers(0, 2),
    ),
)
NOW = st.integers(-60, 4 * 24 * 60).map(
    lambda minutes: START.replace(tzinfo=UTC) + timedelta(minutes=minutes)
)
HOURS = st.integers(-3, 4 * 24).map(lambda number: START + timedelta(hours=number))
KEYS = st.frozensets(
    st.one_of(
        HOURS.map(lambda hour: f"{hour:%Y-%m-%d-%H:%M}"),
        HOURS.map(lambda hour: f"{hour:%Y-%m-%d}"),
    ),
    max_size=60,
)
ODD_KEYS = st.sampled_from(
    [
        "",
        "2024-03-30-05:30",
        "2024-03-30-05:00:00",
        "2024-03-30-05:00+01:00",
        "2024-03-30T05:00",
        "2024-03-30 05:00",
        "2024-3-30-5:00",
        "20240330",
        "2024-W13-6",
        "2024-02-30",
        "２０２４-03-30",
    ]
)

stock_keys = dg.TimeWindowPartitionsDefinition.get_partition_keys
stock_valid = dg.TimeWindowPartitionsDefinition.filter_valid_partition_keys
stock_with = TimeWindowPartitionsSubset.with_partition_keys


def empty_subset(definition: dg.TimeWindowPartitionsDefinition) -> TimeWindowPartitionsSubset:
    empty = definition.empty_subset()
    assert isinstance(empty, TimeWindowPartitionsSubset)
    return empty


@given(DEFINITIONS, NOW)
def test_all_keys(definition: dg.TimeWindowPartitionsDefinition, now: datetime) -> None:
    assert all_keys(definition, now) == stock_keys(definition, now)


@given(DEFINITIONS, NOW, KEYS, st.frozensets(ODD_KEYS))
def test_valid_keys(
    definition: dg.TimeWindowPartitionsDefinition,
    now: datetime,
    keys: frozenset[str],
    odd: frozenset[str],
) -> None:
    asked = {*keys, *odd}
    with partition_loading_context(now):
        assert valid_keys(definition, asked) == stock_valid(definition, asked)


@given(DEFINITIONS, NOW, KEYS, KEYS)
def test_a_subset_with_more_keys(
    definition: dg.TimeWindowPartitionsDefinition,
    now: datetime,
    first: frozenset[str],
    second: frozenset[str],
) -> None:
    with partition_loading_context(now):
        ours = theirs = empty_subset(definition)
        for keys in (first, second):
            # As Dagster does it: keys of other partitions are left out before.
            valid = stock_valid(definition, set(keys))
            ours, theirs = with_keys(ours, valid), stock_with(theirs, valid)
            assert ours.serialize() == theirs.serialize()


def test_a_key_between_two_partitions_is_left_to_dagster() -> None:
    definition = dg.HourlyPartitionsDefinition(START, end_offset=1)
    empty, between = empty_subset(definition), ["2024-03-30-05:30", "2024-03-30-07:00"]
    with partition_loading_context(datetime(2024, 4, 1, tzinfo=UTC)):
        assert with_keys(empty, between).serialize() == stock_with(empty, between).serialize()


def test_keys_that_no_partition_has_are_left_out_unless_told_otherwise() -> None:
    definition = dg.HourlyPartitionsDefinition(START, end_offset=1)
    empty, early = empty_subset(definition), ["2024-03-28-23:00", "2024-03-29-00:00"]
    with partition_loading_context(datetime(2024, 4, 1, tzinfo=UTC)):
        assert len(with_keys(empty, early)) == 1
        assert len(with_keys(empty, early, validate=False)) == 2


def test_ten_years_of_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, Dagster's own ways lead here."""
    for owner, name in (
        (dg.TimeWindowPartitionsDefinition, "get_partition_keys"),
        (dg.TimeWindowPartitionsDefinition, "filter_valid_partition_keys"),
        (TimeWindowPartitionsSubset, "with_partition_keys"),
    ):
        # Put back afterwards.
        monkeypatch.setattr(owner, name, getattr(owner, name))
    partition_keys.install()
    definition = dg.HourlyPartitionsDefinition("2016-01-01-00:00", timezone="UTC", end_offset=1)
    now = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    with partition_loading_context(now):
        keys = definition.get_partition_keys()
        assert (keys[0], keys[-1], len(keys)) == ("2016-01-01-00:00", "2025-12-31-23:00", 87_672)
        whole = empty_subset(definition).with_partition_keys(set(keys) - {keys[100]})
    [before, after] = whole.included_time_windows
    assert before.end == datetime(2016, 1, 5, 4, tzinfo=UTC)
    assert after.start == datetime(2016, 1, 5, 5, tzinfo=UTC)
    assert len(whole) == 87_671
