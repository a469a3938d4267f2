"""What outlives a tick, as the sensor's cursor: open incidents and undelivered messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import msgspec

KEPT_MESSAGES = 200
BATCH = 20
# Seconds until an undeliverable message is tried again: doubled each time, up to an hour.
FIRST_WAIT, LONGEST_WAIT = 30.0, 3600.0


class Message(msgspec.Struct, frozen=True):
    """What a person is to read; `ended`: that an incident is over."""

    subject: str
    text: str
    ended: bool = False


class Incident(msgspec.Struct, rename={"notified_at": "told"}):
    """Something that is wrong and of which people were notified."""

    title: str
    since: datetime
    notified_at: datetime
    last: datetime
    times: int = 1
    # Of a run: what it did not bring; for which windows; whether those were long past.
    job: str = ""
    assets: frozenset[str] = frozenset()
    windows: list[tuple[datetime, datetime]] = []
    past: bool = False
    # Of abandoned days.
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
    """The cursor of the sensor `alerts`."""

    # Id of the last event that was looked at; None before the first tick.
    after: int | None = None
    # Failed runs that Dagster has said it will retry, and when that was seen.
    awaited: dict[str, datetime] = {}
    newest: dict[str, datetime] = {}
    silent_since: dict[str, datetime] = {}
    incidents: dict[str, Incident] = {}
    outboxes: dict[str, Outbox] = {}
