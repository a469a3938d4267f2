"""Cursors that an installed platform has stored are read in full: an upgrade forgets nothing."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest

from aq_science.windows import DAY, HOUR
from aq_sensors.alerts.evidence import AbandonedDay, RunSucceeded
from aq_sensors.alerts.incidents import decide_alerts
from aq_sensors.alerts.state import AlertState, Incident, Message, Outbox
from aq_sensors.cursors import read_cursor, write_cursor
from aq_sensors.forecasts import ForecastsCursor
from aq_sensors.late_data import Attempt, BackfillState
from aq_sensors.new_readings import NewReadingsCursor
from aq_sensors.requests import RequestedRun
from tests.factories import utc

EIGHT = utc(2025, 6, 18, 8)

# As version 0.1.0 stored them.
NEW_READINGS = """{"hour":"2025-06-18T08:00:00Z","asks":[{"job":"airqino_readings",
"first":"2025-06-18","last":"2025-06-18","version":"2025-06-18T08:00:00+00:00","attempt":2,
"retry_at":"2025-06-18T09:20:00Z"}],"failures":3,"ask_at":"2025-06-18T09:10:00Z"}"""
FORECASTS = """{"storage_id":7,"issued_for":"2025-06-18T09:00:00Z","model_day":"2025-06-18",
"asks":[{"job":"airqino_models","first":"2025-06-18","last":"2025-06-18","version":"daily",
"attempt":1,"retry_at":null}]}"""
LATE_DATA = """{"airqino":{"tried":{
"2025-06-16":{"reason":"revisit_1","times":2,"at":"2025-06-18T08:00:00Z"},
"2025-06-15":{"reason":"missing","times":4,"at":"2025-06-18T08:00:00Z"}}}}"""
ALERTS = """{"after":41,"awaited":{"run-9":"2025-06-18T08:00:00Z"},
"newest":{"airqino":"2025-06-18T08:00:00Z"},"silent_since":{"openaq":"2025-06-18T08:00:00Z"},
"incidents":{"run airqino/raw_pulls":{"title":"airqino/raw_pulls","since":"2025-06-18T08:00:00Z",
"told":"2025-06-18T09:00:00Z","last":"2025-06-18T10:00:00Z","times":3,"job":"airqino_readings",
"assets":["airqino/raw_pulls"],"windows":[["2025-06-18T00:00:00Z","2025-06-19T00:00:00Z"]],
"past":false,"days":[]},"given up airqino":{"title":"airqino: days given up",
"since":"2025-06-18T08:00:00Z","told":"2025-06-18T08:00:00Z","last":"2025-06-18T08:00:00Z",
"times":1,"job":"","assets":[],"windows":[],"past":false,"days":["2025-06-15"]}},
"outboxes":{"webhook":{"messages":[{"subject":"[aq] FAILED: airqino/raw_pulls",
"text":"For: 2025-06-18","ended":false}],"dropped":1,"tries":2,"due":9.5}}}"""

READ: dict[str, tuple[str, Any, Any]] = {
    "new_readings": (
        NEW_READINGS,
        NewReadingsCursor,
        NewReadingsCursor(
            hour=EIGHT,
            pending=(
                RequestedRun(
                    "airqino_readings",
                    "2025-06-18",
                    "2025-06-18",
                    EIGHT.isoformat(),
                    2,
                    EIGHT + timedelta(minutes=80),
                ),
            ),
            failures=3,
            retry_at=EIGHT + timedelta(minutes=70),
        ),
    ),
    "forecasts": (
        FORECASTS,
        ForecastsCursor,
        ForecastsCursor(
            storage_id=7,
            issued_for=EIGHT + HOUR,
            model_day=date(2025, 6, 18),
            pending=(RequestedRun("airqino_models", "2025-06-18", "2025-06-18", "daily"),),
        ),
    ),
    "late_data": (
        LATE_DATA,
        dict[str, BackfillState],
        {
            "airqino": BackfillState(
                {
                    "2025-06-16": Attempt("revisit_1", 2, EIGHT),
                    "2025-06-15": Attempt("missing", 4, EIGHT),
                }
            )
        },
    ),
    "alerts": (
        ALERTS,
        AlertState,
        AlertState(
            after=41,
            awaited={"run-9": EIGHT},
            newest={"airqino": EIGHT},
            silent_since={"openaq": EIGHT},
            incidents={
                "run airqino/raw_pulls": Incident(
                    "airqino/raw_pulls",
                    since=EIGHT,
                    notified_at=EIGHT + HOUR,
                    last=EIGHT + 2 * HOUR,
                    times=3,
                    job="airqino_readings",
                    assets=frozenset({"airqino/raw_pulls"}),
                    windows=[(utc(2025, 6, 18), utc(2025, 6, 19))],
                ),
                "given up airqino": Incident(
                    "airqino: days given up",
                    since=EIGHT,
                    notified_at=EIGHT,
                    last=EIGHT,
                    days=[date(2025, 6, 15)],
                ),
            },
            outboxes={
                "webhook": Outbox(
                    [Message("[aq] FAILED: airqino/raw_pulls", "For: 2025-06-18")], 1, 2, 9.5
                )
            },
        ),
    ),
}


@pytest.mark.parametrize("sensor", READ)
def test_every_field_of_a_stored_cursor_is_read(sensor: str) -> None:
    text, kind, expected = READ[sensor]
    assert read_cursor(text, kind) == expected


@pytest.mark.parametrize("sensor", READ)
def test_a_cursor_is_stored_in_the_form_it_was_read_in(sensor: str) -> None:
    """So a platform that is set back to the version before loses nothing either."""
    text, kind, _ = READ[sensor]
    assert json.loads(write_cursor(read_cursor(text, kind))) == json.loads(text)


def test_incidents_that_were_open_before_an_upgrade_are_continued_not_repeated() -> None:
    state = read_cursor(ALERTS, AlertState)
    abandoned = [AbandonedDay("airqino", date(2025, 6, 15), "missing")]
    state, messages = decide_alerts(state, [], (), abandoned, now=EIGHT + 3 * HOUR)
    assert messages == []
    brought = RunSucceeded("run-2", "airqino_readings", frozenset({"airqino/raw_pulls"}), None)
    _, (message,) = decide_alerts(state, [brought], (), abandoned, now=EIGHT + DAY)
    assert message.subject == "[aq] RECOVERED: airqino/raw_pulls"
    assert "Was wrong since: 2025-06-18 08:00Z" in message.text


def test_days_that_were_abandoned_before_an_upgrade_stay_so() -> None:
    states = read_cursor(LATE_DATA, dict[str, BackfillState])
    assert states["airqino"].abandoned == {"2025-06-15": "missing"}
