"""The sensor `alerts`: sends what `incidents` decides to the log, a webhook and e-mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dagster as dg

from aq_resources.services import Services
from aq_sensors.alerts.delivery import log_message, log_problem, send
from aq_sensors.alerts.events import read_events
from aq_sensors.alerts.evidence import AbandonedDay, Evidence
from aq_sensors.alerts.incidents import decide_alerts
from aq_sensors.alerts.newest_hours import read_newest_hours
from aq_sensors.alerts.state import AlertState
from aq_sensors.cursors import read_cursor, write_cursor
from aq_sensors.switches import sensor_status

NAME = "alerts"
TICK_SECONDS = 30

AbandonedDays = Callable[[dg.SensorEvaluationContext], Sequence[AbandonedDay] | None]


def build_alerts(
    services: Services, abandoned_days: AbandonedDays = lambda context: None
) -> dg.SensorDefinition:
    """The sensor; `abandoned_days` gives the days not requested any more, None if unknown."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=sensor_status(services),
        description=(
            "One message an incident and one when it ends: runs and checks that failed, networks "
            "that fell silent, days given up. To the log, and by webhook and e-mail if set."
        ),
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        state = read_cursor(context.cursor, AlertState)
        problems: list[str] = []
        evidence: list[Evidence] = []
        if state.after is None:
            # What happened before this was switched on is history.
            state.after = context.instance.event_log_storage.get_maximum_record_id() or 0
        else:
            evidence = read_events(context, state, services.now())
        state, messages = decide_alerts(
            state,
            evidence,
            read_newest_hours(services, state, problems),
            abandoned_days(context),
            now=services.now(),
            ui_url=services.settings.ui_url,
        )
        for message in messages:
            log_message(message, context)
        problems += send(state, messages)
        for problem in problems:
            log_problem(problem, context)
        return dg.SensorResult(skip_reason=_summary(state, problems), cursor=write_cursor(state))

    return alerts


def _summary(state: AlertState, problems: Sequence[str]) -> str:
    titles = "; ".join(incident.title for incident in state.incidents.values())
    waiting = [
        f"{len(outbox.messages)} messages wait for {name}."
        for name, outbox in state.outboxes.items()
        if outbox.messages
    ]
    return " ".join([f"Open: {titles}." if titles else "Nothing is wrong.", *problems, *waiting])
