"""The sandbox's clock: real, fixed, or running at another speed from a chosen instant."""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NamedTuple


class _Reference(NamedTuple):
    """A sandbox instant, the monotonic second at which it was set, and the speed since."""

    instant: datetime
    set_at: float
    speed: float


class SandboxClock:
    """What "now" is for everything the sandbox decides."""

    def __init__(self, now: datetime | None = None, speed: float | None = None) -> None:
        self._reference: _Reference | None = None
        self.set(now, speed)

    def set(self, now: datetime | None = None, speed: float | None = None) -> None:
        """Fix the clock at `now`, or let it run from there at `speed`.

        A speed alone changes the pace from the current instant; neither gives real time back.
        """
        if now is None and speed is None:
            self._reference = None
            return
        start = self.now() if now is None else _as_utc(now)
        # One assignment: a reader in another thread sees the old reference or the new one.
        self._reference = _Reference(start, monotonic(), speed or 0.0)

    def now(self) -> datetime:
        reference = self._reference
        if reference is None:
            return datetime.now(UTC)
        elapsed = (monotonic() - reference.set_at) * reference.speed
        return reference.instant + timedelta(seconds=elapsed)

    def describe(self) -> dict[str, object]:
        """`now`, and the `speed`: 1 for real time, 0 for a fixed instant."""
        reference = self._reference
        return {
            "now": self.now().isoformat().replace("+00:00", "Z"),
            "speed": 1.0 if reference is None else reference.speed,
        }

    def shared(self) -> str:
        """What gives another process the same time: real instant, this clock's, and the speed."""
        speed = self.describe()["speed"]
        return f"{datetime.now(UTC).isoformat()}/{self.now().isoformat()}/{speed}"


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
