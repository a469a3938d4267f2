"""What the alerts are decided from: what was seen of runs, checks, networks and days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from aq_science.windows import Window


@dataclass(frozen=True)
class RunFailed:
    """A run that failed and will not be retried by itself. `assets`: those it did not bring."""

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
class NewestHour:
    """The newest hour there are readings of, and for how long there may be no newer one."""

    network: str
    newest: datetime | None
    allowed: timedelta


@dataclass(frozen=True)
class AbandonedDay:
    """A day that is not requested any more."""

    network: str
    day: date
    reason: str


Evidence = RunFailed | RunSucceeded | CheckEvaluated
