"""Which alerts to send: one when an incident begins, one a day while it lasts, one when it ends.

Pure: what was seen and the remembered state come in, messages and the new state come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import groupby

from aq_science.freshness import age_of_readings, is_recent
from aq_science.windows import DAY, HOUR, Window
from aq_sensors.alerts.evidence import (
    AbandonedDay,
    CheckEvaluated,
    Evidence,
    NewestHour,
    RunFailed,
    RunSucceeded,
)
from aq_sensors.alerts.messages import compose, moment, window_text
from aq_sensors.alerts.state import AlertState, Incident, Message

# An incident that lasts is reported again after so long, and forgotten so long after its last sign.
REMIND_AFTER = DAY
FORGET_AFTER = 30 * DAY
# A platform that was switched off finds its networks silent until it has pulled them.
SILENCE_GRACE = timedelta(minutes=10)
LISTED = 10
KEPT_WINDOWS = 100
# Keys of incidents, by kind: they are stored.
_RUN, _CHECK, _SILENT, _ABANDONED = "run ", "check ", "silent ", "given up "
# What the metrics call them, by the beginning of a key.
KINDS = {_RUN: "run", _CHECK: "check", _SILENT: "silent", _ABANDONED: "given_up"}


def decide_alerts(
    state: AlertState,
    evidence: Sequence[Evidence],
    newest_hours: Sequence[NewestHour] = (),
    abandoned: Sequence[AbandonedDay] | None = None,
    *,
    now: datetime,
    ui_url: str = "",
) -> tuple[AlertState, list[Message]]:
    """Which messages to send.

    Args:
        state: What is remembered; it is not changed.
        evidence: What happened since the last tick, in order.
        newest_hours: The newest hour of each network that could be looked at.
        abandoned: Every day that is not requested any more; None if unknown.
        now: The time of this tick, UTC.
        ui_url: Address of the UI, to link to runs; without it their id is given.

    Returns:
        The new state, and the messages in order.
    """
    tracker = IncidentTracker(deepcopy(state), now, ui_url.rstrip("/"))
    for seen in evidence:
        if isinstance(seen, RunFailed):
            tracker.run_failed(seen)
        elif isinstance(seen, RunSucceeded):
            tracker.run_succeeded(seen)
        else:
            tracker.check_evaluated(seen)
    for network in newest_hours:
        tracker.newest_hour_seen(network)
    if abandoned is not None:
        tracker.days_abandoned(abandoned)
    tracker.forget()
    return tracker.state, tracker.messages


class IncidentTracker:
    """Opens, reminds of and closes incidents."""

    def __init__(self, state: AlertState, now: datetime, ui_url: str) -> None:
        self.state = state
        self.now = now
        self.ui_url = ui_url
        self.messages: list[Message] = []

    def run_failed(self, run: RunFailed) -> None:
        past = run.window is not None and run.window.end + DAY < self.now
        what = ", ".join(sorted(run.assets)) or run.job
        title = what + (" (past days)" if past else "")
        advice = (
            "nothing yet, it is tried again by itself; if it lasts, `aq doctor` asks the network."
            if run.transient
            else "fix what the cause names, then run it again: in the UI, or by `aq backfill`."
        )
        incident = self._fail(
            f"{_RUN}{what}{' past' if past else ''}",
            title,
            {"For": window_text(run.window), "Job": run.job, "Cause": run.cause, "Do": advice},
            run.run_id,
        )
        incident.job, incident.assets, incident.past = run.job, run.assets, past
        if run.window is not None:
            failed = (run.window.start, run.window.end)
            others = [window for window in incident.windows if window != failed]
            incident.windows = [*others, failed][-KEPT_WINDOWS:]

    def run_succeeded(self, run: RunSucceeded) -> None:
        for key, incident in list(self.state.incidents.items()):
            if not key.startswith(_RUN) or not _same_work(incident, run):
                continue
            failed = [Window(start, end) for start, end in incident.windows]
            left = [window for window in failed if not _covers(run.window, window)]
            # Work on the present goes on with newer partitions; that on the past is about its own.
            open_still = [w for w in left if incident.past or not _reaches(run.window, w)]
            if open_still:
                incident.windows = [(w.start, w.end) for w in left]
                continue
            missed = ", ".join(window_text(window) for window in left[-LISTED:])
            self._recover(
                key,
                {"For": window_text(run.window), "Not part of it": missed},
                run.run_id,
            )

    def check_evaluated(self, check: CheckEvaluated) -> None:
        key = f"{_CHECK}{check.asset} {check.check}"
        if check.passed:
            self._recover(key, {"For": window_text(check.window)}, check.run_id)
            return
        self._fail(
            key,
            f"{check.asset}: check {check.check}",
            {
                "For": window_text(check.window),
                "Cause": check.detail or "the check gives no detail",
                "Do": "look at the rows that the check shows in the UI; once the cause is fixed, "
                "materialize these partitions again.",
            },
            check.run_id,
        )

    def newest_hour_seen(self, seen: NewestHour) -> None:
        key, network = f"{_SILENT}{seen.network}", seen.network
        if is_recent(seen.newest, self.now, seen.allowed):
            self.state.silent_since.pop(network, None)
            self._recover(key, {"Newest hour": moment(seen.newest)})
            return
        since = self.state.silent_since.setdefault(network, self.now)
        if self.now - since < (SILENCE_GRACE if seen.newest else seen.allowed):
            return
        if seen.newest is None:
            cause = "there is no reading of it yet."
        else:
            hours = age_of_readings(seen.newest, self.now) / HOUR
            cause = f"its newest hour with a reading is {moment(seen.newest)}, {hours:.0f} h old."
        self._fail(
            key,
            f"{network}: no new readings",
            {
                "Cause": f"{cause} Allowed are {seen.allowed / HOUR:g} h (silent_after_hours).",
                "Do": "`aq doctor` shows whether the network answers; the UI, whether runs fail. "
                "What it publishes later is pulled by itself.",
            },
        )

    def days_abandoned(self, days: Sequence[AbandonedDay]) -> None:
        ordered = sorted(days, key=lambda one: (one.network, one.day))
        by_network = {name: list(of) for name, of in groupby(ordered, key=lambda one: one.network)}
        for network, abandoned in by_network.items():
            key = f"{_ABANDONED}{network}"
            known = self.state.incidents.get(key)
            new = [one for one in abandoned if known is None or one.day not in known.days]
            if new:
                # Days are reported when they come, not once a day.
                self.state.incidents.pop(key, None)
                self._fail(key, f"{network}: days given up", _about_days(network, new))
            incident = self.state.incidents[key]
            incident.days, incident.last = [one.day for one in abandoned], self.now
        for key in [key for key in self.state.incidents if key.startswith(_ABANDONED)]:
            if key.removeprefix(_ABANDONED) not in by_network:
                self._recover(key, {})

    def forget(self) -> None:
        """Incidents nothing is heard of any more, as of an asset that is no longer made."""
        for key, incident in list(self.state.incidents.items()):
            if self.now - incident.last > FORGET_AFTER:
                del self.state.incidents[key]

    def _fail(
        self, key: str, title: str, lines: Mapping[str, str], run_id: str | None = None
    ) -> Incident:
        now = self.now
        incident = self.state.incidents.get(key)
        if incident is None:
            incident = Incident(title=title, since=now, notified_at=now, last=now)
            self.state.incidents[key] = incident
            self._notify(f"FAILED: {title}", lines, run_id)
            return incident
        incident.times, incident.last = incident.times + 1, now
        if now - incident.notified_at >= REMIND_AFTER:
            incident.notified_at = now
            since = {"Since": moment(incident.since)}
            self._notify(f"STILL FAILING: {title}", {**lines, **since}, run_id)
        return incident

    def _recover(self, key: str, lines: Mapping[str, str], run_id: str | None = None) -> None:
        incident = self.state.incidents.pop(key, None)
        if incident is not None:
            since = {"Was wrong since": moment(incident.since)}
            self._notify(f"RECOVERED: {incident.title}", {**lines, **since}, run_id, ended=True)

    def _notify(
        self, subject: str, lines: Mapping[str, str], run_id: str | None, *, ended: bool = False
    ) -> None:
        run = f"{self.ui_url}/runs/{run_id}" if run_id and self.ui_url else run_id or ""
        self.messages.append(compose(subject, lines, run, ended=ended))


def _about_days(network: str, days: Sequence[AbandonedDay]) -> dict[str, str]:
    shown = ", ".join(str(one.day) for one in days[:LISTED])
    if len(days) > LISTED:
        shown += f" and {len(days) - LISTED} more"
    first, last = days[0].day, days[-1].day
    return {
        "For": shown,
        "Cause": "; ".join(dict.fromkeys(one.reason for one in days)),
        "Do": f"fix the cause, then `aq backfill {network} --start {first} --end {last}`.",
    }


def _same_work(incident: Incident, run: RunSucceeded) -> bool:
    return incident.assets <= run.assets if incident.assets else incident.job == run.job


def _covers(done: Window | None, failed: Window) -> bool:
    return done is None or (done.start <= failed.start and failed.end <= done.end)


def _reaches(done: Window | None, failed: Window) -> bool:
    return done is None or failed.end <= done.end
