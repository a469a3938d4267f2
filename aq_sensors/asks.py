"""What a sensor asked for and has not seen done: tried again after a failure, but not for ever."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

ATTEMPTS = 3
FIRST_RETRY = timedelta(minutes=2)

# A cursor that holds a time without a zone is no cursor of ours.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Outcome(enum.Enum):
    """What became of a run."""

    UNDER_WAY = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class Ask(msgspec.Struct, frozen=True):
    """A run over the partitions ``first`` to ``last`` of a job.

    ``version`` is what made it necessary: Dagster remembers a run key for ever, so the same
    partitions asked for another reason need another key.
    """

    job: str
    first: str
    last: str
    version: str
    attempt: int = 1
    retry_at: Instant | None = None

    @property
    def run_key(self) -> str:
        return f"{self.job}:{self.first}..{self.last}:{self.version}:{self.attempt}"


class FollowUp(msgspec.Struct, frozen=True):
    """``open`` asks are still to be watched; those in ``again`` are to be requested now."""

    open: tuple[Ask, ...] = ()
    again: tuple[Ask, ...] = ()
    given_up: tuple[Ask, ...] = ()


def follow_up(asks: Iterable[Ask], outcomes: Mapping[str, Outcome], now: datetime) -> FollowUp:
    """What to do about earlier asks, by the outcome of each run key.

    A failure is tried again after 2, then 4 minutes, and given up after the third: the alert has
    been raised by then, and `late_data` comes back to the day. An ask without a run has failed too:
    a tick has made its runs before the next one begins, so the run was lost or deleted.
    """
    watched: list[Ask] = []
    again: list[Ask] = []
    given_up: list[Ask] = []
    for ask in asks:
        outcome = outcomes.get(ask.run_key, Outcome.FAILED)
        if outcome is Outcome.DONE:
            continue
        delay = FIRST_RETRY * 2 ** (ask.attempt - 1)
        if outcome is Outcome.UNDER_WAY:
            watched.append(ask)
        elif ask.attempt >= ATTEMPTS:
            given_up.append(ask)
        elif ask.retry_at is None:
            watched.append(msgspec.structs.replace(ask, retry_at=now + delay))
        elif now < ask.retry_at <= now + delay:
            watched.append(ask)
        else:
            retried = msgspec.structs.replace(ask, attempt=ask.attempt + 1, retry_at=None)
            watched.append(retried)
            again.append(retried)
    return FollowUp(tuple(watched), tuple(again), tuple(given_up))
