"""One message when an incident begins, one a day while it lasts, one when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec
import pytest

from aq_assets.partitions import partition_window
from aq_science.windows import DAY, HOUR, Window
from aq_sensors.alerts.evidence import (
    AbandonedDay,
    CheckEvaluated,
    Evidence,
    NewestHour,
    RunFailed,
    RunSucceeded,
)
from aq_sensors.alerts.incidents import decide_alerts
from aq_sensors.alerts.messages import window_text
from aq_sensors.alerts.state import (
    BATCH,
    KEPT_MESSAGES,
    LONGEST_WAIT,
    AlertState,
    Message,
    Outbox,
)
from tests.factories import utc

NOW = utc(2024, 3, 10, 12, 30)
TODAY = date(2024, 3, 10)
RAW, HOURLY, FORECASTS = (f"airqino/{n}" for n in ("raw_pulls", "hourly_readings", "forecasts"))
PULLED = frozenset({RAW, HOURLY})


def days(first: date, last: date | None = None) -> Window:
    return Window.of_days(first, last or first)


THAT_DAY = days(TODAY)


def failed(
    *assets: str,
    window: Window | None = THAT_DAY,
    cause: str = "AirQino answered 503",
    transient: bool = False,
    run: str = "run-1",
    job: str = "airqino_readings",
) -> RunFailed:
    return RunFailed(run, job, frozenset(assets), window, cause, transient)


def succeeded(
    *assets: str, window: Window | None = THAT_DAY, job: str = "airqino_readings"
) -> RunSucceeded:
    return RunSucceeded("run-2", job, frozenset(assets), window)


class Ticks:
    """Decisions one after another, through the cursor's text as in the sensor."""

    def __init__(self) -> None:
        self.cursor = msgspec.json.encode(AlertState())

    def see(
        self,
        *evidence: Evidence,
        newest_hours: Sequence[NewestHour] = (),
        abandoned: Sequence[AbandonedDay] | None = None,
        now: datetime = NOW,
        ui_url: str = "",
    ) -> list[Message]:
        state = msgspec.json.decode(self.cursor, type=AlertState)
        before = msgspec.json.encode(state)
        after, messages = decide_alerts(
            state, evidence, newest_hours, abandoned, now=now, ui_url=ui_url
        )
        assert msgspec.json.encode(state) == before
        self.cursor = msgspec.json.encode(after)
        return messages

    @property
    def open(self) -> set[str]:
        return set(msgspec.json.decode(self.cursor, type=AlertState).incidents)


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def subjects(messages: Sequence[Message]) -> list[str]:
    return [message.subject.removeprefix("[aq] ") for message in messages]


class TestRuns:
    def test_the_message_says_what_why_and_what_to_do(self, ticks: Ticks) -> None:
        (message,) = ticks.see(failed(RAW), ui_url="http://ui.example/")
        assert message.subject == "[aq] FAILED: airqino/raw_pulls"
        lines = dict(line.split(": ", 1) for line in message.text.splitlines())
        assert lines["For"] == "2024-03-10"
        assert lines["Job"] == "airqino_readings"
        assert lines["Cause"] == "AirQino answered 503"
        assert "aq backfill" in lines["Do"]
        assert lines["Run"] == "http://ui.example/runs/run-1"
        assert not message.ended

    def test_without_an_address_of_the_ui_the_run_is_named(self, ticks: Ticks) -> None:
        (message,) = ticks.see(failed(RAW))
        assert message.text.splitlines()[-1] == "Run: run-1"

    def test_what_passes_by_itself_needs_no_one(self, ticks: Ticks) -> None:
        (message,) = ticks.see(failed(RAW, transient=True))
        assert "Do: nothing yet" in message.text

    def test_an_incident_is_reported_once_and_its_end_once(self, ticks: Ticks) -> None:
        assert len(ticks.see(failed(RAW), failed(RAW, window=days(TODAY + DAY)))) == 1
        for n in range(1, 20):
            assert ticks.see(failed(RAW), now=NOW + n * HOUR) == []
        (message,) = ticks.see(succeeded(*PULLED, window=days(TODAY + DAY)), now=NOW + 20 * HOUR)
        assert message.subject == "[aq] RECOVERED: airqino/raw_pulls"
        assert "Was wrong since: 2024-03-10 12:30Z" in message.text
        assert message.ended
        assert ticks.see(succeeded(*PULLED), now=NOW + 21 * HOUR) == []
        assert ticks.open == set()

    def test_it_is_repeated_once_a_day_while_it_goes_on(self, ticks: Ticks) -> None:
        ticks.see(failed(RAW))
        assert ticks.see(now=NOW + 2 * DAY) == []
        again = failed(RAW, window=days(TODAY + 2 * DAY))
        (message,) = ticks.see(again, now=NOW + 2 * DAY)
        assert message.subject == "[aq] STILL FAILING: airqino/raw_pulls"
        assert ticks.see(again, now=NOW + 2 * DAY + HOUR) == []

    def test_what_failed_again_is_a_new_incident(self, ticks: Ticks) -> None:
        ticks.see(failed(RAW))
        messages = ticks.see(succeeded(*PULLED), failed(RAW))
        assert [m.ended for m in messages] == [True, False]

    def test_different_assets_are_different_incidents(self, ticks: Ticks) -> None:
        assert len(ticks.see(failed(RAW), failed(FORECASTS, job="airqino_forecast"))) == 2

    def test_success_of_other_assets_ends_no_incident(self, ticks: Ticks) -> None:
        ticks.see(failed(RAW, HOURLY))
        assert ticks.see(succeeded(RAW)) == []
        assert ticks.see(succeeded(HOURLY)) == []
        assert len(ticks.see(succeeded(RAW, HOURLY, FORECASTS))) == 1

    def test_work_on_the_present_goes_on_with_newer_partitions(self, ticks: Ticks) -> None:
        ticks.see(failed(RAW, window=days(TODAY - DAY, TODAY)))
        assert ticks.see(succeeded(RAW, window=days(TODAY - 9 * DAY))) == []
        (message,) = ticks.see(succeeded(RAW, window=days(TODAY + DAY)))
        assert "Not part of it: 2024-03-09 to 2024-03-10" in message.text

    def test_past_days_recover_by_their_own_runs_alone(self, ticks: Ticks) -> None:
        first, second = TODAY - 30 * DAY, TODAY - 20 * DAY
        (message,) = ticks.see(failed(RAW, window=days(first)), failed(RAW, window=days(second)))
        assert message.subject == "[aq] FAILED: airqino/raw_pulls (past days)"
        assert ticks.see(succeeded(RAW, window=days(TODAY))) == []
        assert ticks.see(succeeded(RAW, window=days(first))) == []
        (message,) = ticks.see(succeeded(RAW, window=days(second - DAY, second + DAY)))
        assert message.ended
        assert "Not part of it" not in message.text

    def test_past_days_do_not_hide_the_present(self, ticks: Ticks) -> None:
        ticks.see(failed(RAW, window=days(TODAY - 30 * DAY)))
        assert len(ticks.see(failed(RAW))) == 1

    def test_a_job_without_assets_goes_by_its_name(self, ticks: Ticks) -> None:
        (message,) = ticks.see(failed(window=None, job="upkeep", cause=""))
        assert subjects([message]) == ["FAILED: upkeep"]
        assert "For:" not in message.text
        assert ticks.see(succeeded(window=None, job="other")) == []
        assert len(ticks.see(succeeded(window=None, job="upkeep"))) == 1

    def test_a_long_cause_is_cut(self, ticks: Ticks) -> None:
        (message,) = ticks.see(failed(RAW, cause="long\n story " * 1000))
        (cause,) = [line for line in message.text.splitlines() if line.startswith("Cause: ")]
        assert len(cause) < 700
        assert cause.endswith("…")

    def test_what_nothing_is_heard_of_is_forgotten(self, ticks: Ticks) -> None:
        ticks.see(failed("airqino/retired"))
        assert ticks.see(now=NOW + 29 * DAY) == []
        assert ticks.open
        assert ticks.see(now=NOW + 31 * DAY) == []
        assert ticks.open == set()


class TestChecks:
    def check(self, passed: bool, name: str = "unique_hours") -> CheckEvaluated:
        return CheckEvaluated("run-1", HOURLY, name, passed, "bad_rows 3", days(TODAY))

    def test_a_failed_check_is_reported_and_its_recovery(self, ticks: Ticks) -> None:
        (message,) = ticks.see(self.check(passed=False))
        assert message.subject == "[aq] FAILED: airqino/hourly_readings: check unique_hours"
        for part in ("For: 2024-03-10", "Cause: bad_rows 3", "Do: look at the rows"):
            assert part in message.text
        assert ticks.see(self.check(passed=False)) == []
        (message,) = ticks.see(self.check(passed=True))
        assert message.ended

    def test_each_check_is_an_incident_of_its_own(self, ticks: Ticks) -> None:
        ticks.see(self.check(passed=False))
        assert ticks.see(self.check(passed=True, name="plausible_ranges")) == []
        assert len(ticks.see(self.check(passed=False, name="plausible_ranges"))) == 1


class TestSilence:
    def heard(self, newest: datetime | None) -> list[NewestHour]:
        return [NewestHour("airqino", newest, timedelta(hours=6))]

    def test_silence_is_reported_after_a_pause_to_catch_up(self, ticks: Ticks) -> None:
        newest = NOW.replace(minute=0) - 8 * HOUR
        assert ticks.see(newest_hours=self.heard(newest)) == []
        assert ticks.see(newest_hours=self.heard(newest), now=NOW + timedelta(minutes=9)) == []
        (message,) = ticks.see(newest_hours=self.heard(newest), now=NOW + timedelta(minutes=11))
        assert message.subject == "[aq] FAILED: airqino: no new readings"
        assert "2024-03-10 04:00Z, 8 h old" in message.text
        assert "silent_after_hours" in message.text
        assert ticks.see(newest_hours=self.heard(newest), now=NOW + HOUR) == []
        (message,) = ticks.see(newest_hours=self.heard(NOW), now=NOW + 2 * HOUR)
        assert message.ended
        assert "Newest hour: 2024-03-10 12:30Z" in message.text

    def test_caught_up_in_time_nothing_is_reported(self, ticks: Ticks) -> None:
        ticks.see(newest_hours=self.heard(NOW - 20 * DAY))
        assert ticks.see(newest_hours=self.heard(NOW - HOUR), now=NOW + timedelta(minutes=5)) == []
        # What was seen silent before counts no more.
        late = NOW + 10 * HOUR
        assert ticks.see(newest_hours=self.heard(NOW - HOUR), now=late) == []

    def test_a_network_without_any_reading_has_the_whole_time(self, ticks: Ticks) -> None:
        assert ticks.see(newest_hours=self.heard(None)) == []
        assert ticks.see(newest_hours=self.heard(None), now=NOW + 5 * HOUR) == []
        (message,) = ticks.see(newest_hours=self.heard(None), now=NOW + 6 * HOUR)
        assert "no reading of it yet" in message.text

    def test_it_is_repeated_once_a_day(self, ticks: Ticks) -> None:
        sent = [
            message
            for n in range(24 * 12)
            for message in ticks.see(newest_hours=self.heard(NOW - DAY), now=NOW + n * HOUR / 4)
        ]
        assert subjects(sent) == [
            "FAILED: airqino: no new readings",
            "STILL FAILING: airqino: no new readings",
            "STILL FAILING: airqino: no new readings",
        ]

    def test_a_network_that_cannot_be_looked_at_is_neither(self, ticks: Ticks) -> None:
        ticks.see(newest_hours=self.heard(NOW - DAY))
        ticks.see(newest_hours=self.heard(NOW - DAY), now=NOW + HOUR)
        assert ticks.see(now=NOW + 2 * HOUR) == []
        assert ticks.open == {"silent airqino"}


class TestGivenUpDays:
    def given(self, *ages: int, network: str = "airqino") -> list[AbandonedDay]:
        return [AbandonedDay(network, TODAY - n * DAY, "missing") for n in ages]

    def test_days_are_reported_when_they_come(self, ticks: Ticks) -> None:
        (message,) = ticks.see(abandoned=self.given(3, 5))
        assert message.subject == "[aq] FAILED: airqino: days given up"
        assert "For: 2024-03-05, 2024-03-07" in message.text
        assert "Cause: missing\n" in message.text
        assert "aq backfill airqino --start 2024-03-05 --end 2024-03-07" in message.text
        assert ticks.see(abandoned=self.given(3, 5)) == []
        assert ticks.see(abandoned=None) == []
        (message,) = ticks.see(abandoned=self.given(3, 5, 4))
        assert "For: 2024-03-06" in message.text

    def test_they_are_over_when_all_are_there(self, ticks: Ticks) -> None:
        ticks.see(abandoned=self.given(3, 5))
        assert ticks.see(abandoned=self.given(3)) == []
        (message,) = ticks.see(abandoned=[])
        assert message.ended

    def test_many_days_are_counted(self, ticks: Ticks) -> None:
        (message,) = ticks.see(abandoned=self.given(*range(1, 31)))
        assert "and 20 more" in message.text

    def test_each_network_has_its_own(self, ticks: Ticks) -> None:
        both = [*self.given(3), *self.given(3, network="openaq")]
        assert len(ticks.see(abandoned=both)) == 2
        (message,) = ticks.see(abandoned=both[:1])
        assert subjects([message]) == ["RECOVERED: openaq: days given up"]


class TestOutbox:
    def messages(self, count: int, first: int = 0) -> list[Message]:
        return [Message(f"s{n}", f"t{n}") for n in range(first, first + count)]

    def test_one_message_is_sent_as_it_is(self) -> None:
        outbox = Outbox()
        assert outbox.batch(0.0) is None
        outbox.add(self.messages(1))
        assert outbox.batch(0.0) == ("s0", "t0")
        outbox.delivered()
        assert outbox.batch(0.0) is None

    def test_several_go_together(self) -> None:
        outbox = Outbox()
        outbox.add(self.messages(2))
        assert outbox.batch(0.0) == ("s0 (and 1 more)", "t0\n\ns1\nt1")

    def test_many_go_in_turns_and_none_is_lost(self) -> None:
        outbox = Outbox()
        outbox.add(self.messages(BATCH + 1))
        assert outbox.batch(0.0) is not None
        outbox.delivered()
        assert outbox.batch(0.0) == (f"s{BATCH}", f"t{BATCH}")

    def test_it_waits_longer_after_each_failure_up_to_an_hour(self) -> None:
        outbox = Outbox()
        outbox.add(self.messages(1))
        clock, waits = 0.0, []
        for _ in range(12):
            assert outbox.batch(clock) is not None
            outbox.failed(clock)
            assert outbox.batch(outbox.due - 0.1) is None
            waits.append(outbox.due - clock)
            clock = outbox.due
        assert waits[:3] == [30, 60, 120]
        assert waits[-1] == LONGEST_WAIT
        outbox.delivered()
        outbox.add(self.messages(1))
        outbox.failed(clock)
        assert outbox.due == clock + 30

    def test_a_clock_set_back_does_not_stop_it(self) -> None:
        outbox = Outbox()
        outbox.add(self.messages(1))
        outbox.failed(1e9)
        assert outbox.batch(1e9 - 2 * LONGEST_WAIT) is not None

    def test_it_is_bounded_and_says_so(self) -> None:
        outbox = Outbox()
        outbox.add(self.messages(KEPT_MESSAGES))
        outbox.add(self.messages(5, first=KEPT_MESSAGES))
        assert [m.subject for m in outbox.messages[:1]] == ["s5"]
        batch = outbox.batch(0.0)
        assert batch is not None
        assert "5 older messages could not be delivered" in batch[1]


@pytest.mark.parametrize(
    ("tags", "window", "text"),
    [
        ({}, None, ""),
        ({"dagster/partition": "2024-03-02"}, days(date(2024, 3, 2)), "2024-03-02"),
        (
            {
                "dagster/asset_partition_range_start": "2024-02-28",
                "dagster/asset_partition_range_end": "2024-03-02",
            },
            days(date(2024, 2, 28), date(2024, 3, 2)),
            "2024-02-28 to 2024-03-02",
        ),
        (
            {"dagster/partition": "2024-03-02-05:00"},
            Window(utc(2024, 3, 2, 5), utc(2024, 3, 2, 6)),
            "2024-03-02 05:00Z",
        ),
        (
            {
                "dagster/asset_partition_range_start": "2024-03-02-05:00",
                "dagster/asset_partition_range_end": "2024-03-02-07:00",
            },
            Window(utc(2024, 3, 2, 5), utc(2024, 3, 2, 8)),
            "2024-03-02 05:00Z to 2024-03-02 07:00Z",
        ),
        ({"dagster/asset_partition_range_start": "2024-03-02"}, None, ""),
        ({"dagster/partition": "station-7"}, None, ""),
        ({"dagster/partition": "station-seven-of-ten"}, None, ""),
    ],
)
def test_partitions_of_a_run(tags: dict[str, str], window: Window | None, text: str) -> None:
    assert partition_window(tags) == window
    assert window_text(window) == text
