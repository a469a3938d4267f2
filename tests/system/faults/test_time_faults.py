"""Time against us: hours of outage, values that change afterwards, a clock that steps back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.system.faults.conftest import (
    FIRST,
    LAST,
    NOW,
    READINGS,
    STATIONS,
    At,
    differences,
    tables,
    with_stations,
)
from tests.system.integration.harness import Installation

HOUR = timedelta(hours=1)
Tables = dict[str, pl.DataFrame]


class Clock:
    """The time of the platform and of the sandbox's networks."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def __call__(self) -> datetime:
        return self.time


def test_a_network_down_for_six_hours_leaves_no_gap(tmp_path: Path, at_work: At) -> None:
    """Hourly refreshes fail and say why; the first one after the outage brings all hours."""
    start = datetime(2025, 6, 7, 21, 20, tzinfo=UTC)  # over midnight
    clock = Clock(start)
    config = SandboxConfig(now=start)
    with running_sandbox(config) as sandbox:
        port = int(sandbox.url.rsplit(":", 1)[1])
        installation = with_stations(tmp_path / "one", sandbox)
        with at_work(installation, clock) as work:
            assert all(outcome.success for outcome in work.backfill(last=start.date()))
            assert all(outcome.success for outcome in work.refresh())
    before = tables(installation, ("hourly_readings", "forecasts"))
    with at_work(installation, clock) as work:
        for _ in range(6):
            clock.time += HOUR
            (outcome,) = work.refresh()
            assert not outcome.success
            assert all("AirQino cannot be reached" in said for said in outcome.failures)
            assert all("Connection refused" in said for said in outcome.failures)
    # Nothing was spoilt meanwhile, and nothing pretends to be news.
    assert differences(tables(installation, tuple(before)), before) == {}

    clock.time += HOUR
    with running_sandbox(SandboxConfig(now=clock.time), port=port) as sandbox:
        with at_work(installation, clock) as work:
            outcomes = work.refresh()
            assert [outcome.failures for outcome in outcomes if not outcome.success] == []
        # What a plain backfill at the same hour finds.
        plain = with_stations(tmp_path / "plain", sandbox)
        with at_work(plain, clock) as work:
            assert all(o.success for o in work.backfill(last=clock.time.date()))
    found, expected = (tables(one, READINGS) for one in (installation, plain))
    # Of a value that was provisional before the outage, it is known that it changed.
    assert differences(unrevised(found), unrevised(expected)) == {}
    newest = found["hourly_readings"]["hour"].max()
    assert newest == clock.time.replace(minute=0) - HOUR
    issued = tables(installation, ("forecasts",))["forecasts"]["issued_for"].unique().sort()
    assert issued.to_list() == [start.replace(minute=0), clock.time.replace(minute=0)]


def unrevised(found: Tables) -> Tables:
    """The tables without the count of changes, and without what a station measured last."""
    return {name: rows.drop("revision", "parameters", strict=False) for name, rows in found.items()}


def test_an_answer_revised_later_replaces_what_it_corrects(
    undisturbed: Tables, fresh: Installation, sandbox: RunningSandbox, at_work: At
) -> None:
    """The network shows some hours' provisional values for three days."""
    clock = Clock(datetime(2025, 6, 9, 0, 20, tzinfo=UTC))
    with at_work(fresh, clock) as work:
        sandbox.set_clock(clock.time)
        assert all(outcome.success for outcome in work.backfill(forecasts=True))
        early = tables(fresh)
        clock.time = NOW
        sandbox.set_clock(NOW)
        assert all(outcome.success for outcome in work.backfill(forecasts=True))
        again = tables(fresh)
        # Once more changes nothing.
        assert all(outcome.success for outcome in work.backfill(forecasts=True))
    found = tables(fresh)
    assert differences(found, again) == {}
    assert differences(unrevised(found), unrevised(undisturbed)) == {}
    # Exactly what changed is counted as changed, and it reached the averages.
    key = ["station_id", "parameter", "hour"]
    changed = (
        early["hourly_readings"]
        .join(undisturbed["hourly_readings"], on=key, suffix="_then")
        .filter(pl.col("value_native") != pl.col("value_native_then"))
    )
    assert len(changed) > 20
    revised = found["hourly_readings"].filter(pl.col("revision") > 0)
    assert revised["revision"].to_list() == [1] * len(changed)
    assert revised.select(key).equals(changed.select(key))
    changes = set(differences(early, undisturbed))
    assert changes >= {"hourly_readings", "daily_averages", "forecasts"}


def test_a_clock_that_stepped_back_loses_and_doubles_nothing(
    undisturbed: Tables, fresh: Installation, sandbox: RunningSandbox, at_work: At
) -> None:
    """The correction is received when the clock shows an earlier time than at the first pull."""
    clock = Clock(NOW)
    with at_work(fresh, clock) as work:
        # The network is at a time when some values are provisional still.
        sandbox.set_clock(datetime(2025, 6, 9, 0, 20, tzinfo=UTC))
        assert all(outcome.success for outcome in work.backfill())
        early = tables(fresh, READINGS)
        sandbox.set_clock(NOW)
        clock.time = NOW - timedelta(hours=30)
        assert all(outcome.success for outcome in work.backfill())
        # What came after the step holds, in this run and in all that follow.
        found = tables(fresh, READINGS)
        clock.time = NOW - timedelta(hours=29)
        (outcome,) = work.backfill(forecasts=True)[:1]
        assert outcome.metadata["raw_pulls"]["answers_repeated"] == len(STATIONS)
        stamps = [answer.pulled_at for answer in work.answers()]
    assert set(differences(early, undisturbed)) >= {"hourly_readings", "daily_averages"}
    assert differences(tables(fresh, READINGS), found) == {}
    assert differences(unrevised(tables(fresh)), unrevised(undisturbed)) == {}
    assert len(stamps) == 2 * len(STATIONS)
    assert max(stamps) > NOW


def test_hourly_refreshes_go_on_under_a_clock_that_stepped_back(
    tmp_path: Path, at_work: At
) -> None:
    """Half an hour back between two refreshes of one hour: no row twice, none lost."""
    start = datetime(2025, 6, 8, 9, 10, tzinfo=UTC)
    clock = Clock(start)
    with running_sandbox(SandboxConfig(now=start)) as sandbox:
        installation = with_stations(tmp_path / "one", sandbox)
        with at_work(installation, clock) as work:
            assert all(outcome.success for outcome in work.backfill(FIRST, LAST))
            for shown, true in ((0, 0), (-30, 40), (30, 100)):
                clock.time = start + timedelta(minutes=shown)
                sandbox.set_clock(start + timedelta(minutes=true))
                outcomes = work.refresh()
                assert [outcome.failures for outcome in outcomes if not outcome.success] == []
            # The network says the same again, of hours that the clock did not take for over.
            clock.time = start + timedelta(minutes=110)
            assert all(outcome.success for outcome in work.refresh())
        plain = with_stations(tmp_path / "plain", sandbox)
        with at_work(plain, clock) as work:
            assert all(outcome.success for outcome in work.backfill(FIRST, LAST))
    found, expected = (tables(one, READINGS) for one in (installation, plain))
    assert differences(unrevised(found), unrevised(expected)) == {}
    key = ["station_id", "parameter", "issued_for", "horizon"]
    forecasts = installation.table("forecasts")
    assert not forecasts.select(key).is_duplicated().any()
    assert forecasts["issued_for"].n_unique() == 3
