"""Which alerts to send: one when an incident begins, one a day while it lasts, one when it ends.

Pure: what was seen comes in, messages and the remembered state come out. The state is the cursor of
the sensor, so it holds all that has to outlive a tick: open incidents and undelivered messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

import msgspec

from aq_science.freshness import age_of_readings, is_recent
from aq_science.windows import DAY, HOUR, Window

# An incident that goes on is told again after so long, and forgotten so long after its last sign.
REMIND_AFTER = DAY
FORGET_AFTER = 30 * DAY
# A platform that was switched off finds its networks silent until it has pulled them.
SILENCE_GRACE = timedelta(minutes=10)
# Texts that go to people stay readable, and the cursor small.
CAUSE_LENGTH = 600
LISTED = 10
KEPT_WINDOWS = 100
KEPT_MESSAGES = 200
BATCH = 20
# Seconds until an undeliverable message is tried again: doubled each time, up to an hour.
FIRST_WAIT, LONGEST_WAIT = 30.0, 3600.0


# What was seen


@dataclass(frozen=True)
class RunFailed:
    """A run that failed and will not be retried by itself. ``assets``: those it did not bring."""

    run_id: str
    job: str
    assets: frozenset[str]
    window: Window | None
    cause: str
    transient: bool = False


@dataclass(frozen=True)
class RunSucceeded:
    """A run that went through, with everything it was to bring."""

    run_id: str
    job: str
    assets: frozenset[str]
    window: Window | None


@dataclass(frozen=True)
class CheckEvaluated:
    """The outcome of a check of ERROR severity."""

    run_id: str
    asset: str
    check: str
    passed: bool
    detail: str = ""
    window: Window | None = None


@dataclass(frozen=True)
class Heard:
    """The newest hour there are readings of, and for how long there may be no newer one."""

    network: str
    newest: datetime | None
    allowed: timedelta


@dataclass(frozen=True)
class GivenUp:
    """A day that is not asked for any more."""

    network: str
    day: date
    reason: str


Evidence = RunFailed | RunSucceeded | CheckEvaluated


# What is remembered


class Message(msgspec.Struct, frozen=True):
    """What a person is to read; ``ended``: that an incident is over."""

    subject: str
    text: str
    ended: bool = False


class Incident(msgspec.Struct):
    """Something that is wrong and was told."""

    title: str
    since: datetime
    told: datetime
    last: datetime
    times: int = 1
    # Of a run: what it did not bring; for which windows; whether those were long past.
    job: str = ""
    assets: frozenset[str] = frozenset()
    windows: list[tuple[datetime, datetime]] = []
    past: bool = False
    # Of days given up.
    days: list[date] = []


class Outbox(msgspec.Struct):
    """Messages that a channel has not taken yet, oldest first."""

    messages: list[Message] = []
    dropped: int = 0
    tries: int = 0
    due: float = 0.0

    def add(self, messages: Iterable[Message]) -> None:
        """Queue messages; where too many wait, the oldest are only counted (the log has them)."""
        self.messages += messages
        surplus = max(0, len(self.messages) - KEPT_MESSAGES)
        self.dropped += surplus
        del self.messages[:surplus]

    def batch(self, clock: float) -> tuple[str, str] | None:
        """Subject and text of the next delivery; None where nothing is due."""
        # A clock that was set back must not keep messages for longer than the longest wait.
        if not self.messages or clock < self.due <= clock + LONGEST_WAIT:
            return None
        batch = self.messages[:BATCH]
        subject = batch[0].subject
        if len(batch) > 1:
            subject += f" (and {len(batch) - 1} more)"
        parts = [batch[0].text, *(f"{m.subject}\n{m.text}" for m in batch[1:])]
        if self.dropped:
            parts.append(f"{self.dropped} older messages could not be delivered: see the log.")
        return subject, "\n\n".join(parts)

    def delivered(self) -> None:
        """Forget the batch."""
        del self.messages[:BATCH]
        self.dropped, self.tries, self.due = 0, 0, 0.0

    def failed(self, clock: float) -> None:
        """Keep the batch for later."""
        self.due = clock + min(FIRST_WAIT * 2.0**self.tries, LONGEST_WAIT)
        self.tries = min(self.tries + 1, 10)


class AlertState(msgspec.Struct):
    """All that outlives a tick."""

    # Id of the last event that was looked at; None before the first tick.
    after: int | None = None
    # Failed runs that Dagster has said it will retry, and when that was seen.
    awaited: dict[str, datetime] = {}
    newest: dict[str, datetime] = {}
    silent_since: dict[str, datetime] = {}
    incidents: dict[str, Incident] = {}
    outboxes: dict[str, Outbox] = {}


def decide_alerts(
    state: AlertState,
    evidence: Sequence[Evidence],
    heard: Sequence[Heard] = (),
    given_up: Sequence[GivenUp] | None = None,
    *,
    now: datetime,
    ui_url: str = "",
) -> tuple[AlertState, list[Message]]:
    """The state after what was seen, in order, and what to tell. ``given_up``: None if unknown."""
    desk = _Desk(deepcopy(state), now, ui_url.rstrip("/"))
    for seen in evidence:
        if isinstance(seen, RunFailed):
            desk.run_failed(seen)
        elif isinstance(seen, RunSucceeded):
            desk.run_succeeded(seen)
        else:
            desk.check_evaluated(seen)
    for network in heard:
        desk.network_heard(network)
    if given_up is not None:
        desk.days_given_up(given_up)
    desk.forget()
    return desk.state, desk.messages


class _Desk:
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
        do = (
            "nothing yet, it is tried again by itself; if it lasts, `aq doctor` asks the network."
            if run.transient
            else "mend what the cause names, then run it again: in the UI, or by `aq backfill`."
        )
        incident = self._fail(
            f"run {what}{' past' if past else ''}",
            title,
            {"For": span(run.window), "Job": run.job, "Cause": run.cause, "Do": do},
            run.run_id,
        )
        incident.job, incident.assets, incident.past = run.job, run.assets, past
        if run.window is not None:
            failed = (run.window.start, run.window.end)
            others = [window for window in incident.windows if window != failed]
            incident.windows = [*others, failed][-KEPT_WINDOWS:]

    def run_succeeded(self, run: RunSucceeded) -> None:
        for key, incident in list(self.state.incidents.items()):
            if not key.startswith("run ") or not _same_work(incident, run):
                continue
            failed = [Window(start, end) for start, end in incident.windows]
            left = [window for window in failed if not _covers(run.window, window)]
            # Work on the present goes on with newer partitions; that on the past is about its own.
            open_still = [w for w in left if incident.past or not _reaches(run.window, w)]
            if open_still:
                incident.windows = [(w.start, w.end) for w in left]
                continue
            missed = ", ".join(span(window) for window in left[-LISTED:])
            self._recover(
                key,
                {"For": span(run.window), "Not part of it": missed},
                run.run_id,
            )

    def check_evaluated(self, check: CheckEvaluated) -> None:
        key = f"check {check.asset} {check.check}"
        if check.passed:
            self._recover(key, {"For": span(check.window)}, check.run_id)
            return
        self._fail(
            key,
            f"{check.asset}: check {check.check}",
            {
                "For": span(check.window),
                "Cause": check.detail or "the check gives no detail",
                "Do": "look at the rows that the check shows in the UI; once the cause is mended, "
                "materialize these partitions again.",
            },
            check.run_id,
        )

    def network_heard(self, heard: Heard) -> None:
        key, network = f"silent {heard.network}", heard.network
        if is_recent(heard.newest, self.now, heard.allowed):
            self.state.silent_since.pop(network, None)
            self._recover(key, {"Newest hour": _moment(heard.newest)})
            return
        since = self.state.silent_since.setdefault(network, self.now)
        if self.now - since < (SILENCE_GRACE if heard.newest else heard.allowed):
            return
        if heard.newest is None:
            cause = "there is no reading of it yet."
        else:
            hours = age_of_readings(heard.newest, self.now) / HOUR
            cause = f"its newest hour with a reading is {_moment(heard.newest)}, {hours:.0f} h old."
        self._fail(
            key,
            f"{network}: no new readings",
            {
                "Cause": f"{cause} Allowed are {heard.allowed / HOUR:g} h (silent_after_hours).",
                "Do": "`aq doctor` shows whether the network answers; the UI, whether runs fail. "
                "What it publishes later is pulled by itself.",
            },
        )

    def days_given_up(self, days: Sequence[GivenUp]) -> None:
        ordered = sorted(days, key=lambda given: (given.network, given.day))
        by_network = {name: list(of) for name, of in groupby(ordered, key=lambda g: g.network)}
        for network, given in by_network.items():
            key = f"given up {network}"
            known = self.state.incidents.get(key)
            new = [g for g in given if known is None or g.day not in known.days]
            if new:
                # Days are told when they come, not once a day.
                self.state.incidents.pop(key, None)
                shown = ", ".join(str(g.day) for g in new[:LISTED])
                if len(new) > LISTED:
                    shown += f" and {len(new) - LISTED} more"
                first, last = new[0].day, new[-1].day
                self._fail(
                    key,
                    f"{network}: days given up",
                    {
                        "For": shown,
                        "Cause": "; ".join(dict.fromkeys(g.reason for g in new)),
                        "Do": f"mend the cause, then `aq backfill {network} --start {first} "
                        f"--end {last}`.",
                    },
                )
            incident = self.state.incidents[key]
            incident.days, incident.last = [g.day for g in given], self.now
        for key in [key for key in self.state.incidents if key.startswith("given up ")]:
            if key.removeprefix("given up ") not in by_network:
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
            incident = Incident(title=title, since=now, told=now, last=now)
            self.state.incidents[key] = incident
            self._tell(f"FAILED: {title}", lines, run_id)
            return incident
        incident.times, incident.last = incident.times + 1, now
        if now - incident.told >= REMIND_AFTER:
            incident.told = now
            since = {"Since": _moment(incident.since)}
            self._tell(f"STILL FAILING: {title}", {**lines, **since}, run_id)
        return incident

    def _recover(self, key: str, lines: Mapping[str, str], run_id: str | None = None) -> None:
        incident = self.state.incidents.pop(key, None)
        if incident is not None:
            since = {"Was wrong since": _moment(incident.since)}
            self._tell(f"RECOVERED: {incident.title}", {**lines, **since}, run_id, ended=True)

    def _tell(
        self, subject: str, lines: Mapping[str, str], run_id: str | None, *, ended: bool = False
    ) -> None:
        run = f"{self.ui_url}/runs/{run_id}" if run_id and self.ui_url else run_id or ""
        text = "\n".join(
            f"{name}: {_shortened(value)}" for name, value in {**lines, "Run": run}.items() if value
        )
        self.messages.append(Message(f"[aq] {subject}", text, ended))


def _same_work(incident: Incident, run: RunSucceeded) -> bool:
    return incident.assets <= run.assets if incident.assets else incident.job == run.job


def _covers(done: Window | None, failed: Window) -> bool:
    return done is None or (done.start <= failed.start and failed.end <= done.end)


def _reaches(done: Window | None, failed: Window) -> bool:
    return done is None or failed.end <= done.end


def span(window: Window | None) -> str:
    """A window as people write it: an hour, hours, a day or days, the last one included."""
    if window is None:
        return ""
    whole = window.start == _midnight(window.start) and window.end == _midnight(window.end)
    step, form = (DAY, "%Y-%m-%d") if whole else (HOUR, "%Y-%m-%d %H:%MZ")
    first, last = window.start.strftime(form), (window.end - step).strftime(form)
    return first if first == last else f"{first} to {last}"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z" if moment is not None else ""


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= CAUSE_LENGTH else f"{text[: CAUSE_LENGTH - 1]}…"
