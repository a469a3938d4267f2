"""The clock: real, or simulated for a rehearsal of hours in minutes (AQ_CLOCK)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from aq_resources.failures import SettingsError

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The present instant, UTC."""
    return datetime.now(UTC)


def open_clock(setting: str) -> Clock:
    """The clock of AQ_CLOCK: ``<real instant>/<simulated instant>/<speed>``; empty means real.

    At the real instant the simulated clock showed the simulated one; since then it has run at
    ``speed`` simulated seconds a second. Every process with the same setting sees the same time.
    """
    if not setting:
        return system_clock
    try:
        real, simulated, speed = setting.split("/")
        anchor, shown, pace = _instant(real), _instant(simulated), float(speed)
    except ValueError:
        raise SettingsError(
            f"AQ_CLOCK: {setting!r} is not <real instant>/<simulated instant>/<speed>. Take the "
            "line that `aq sandbox --now … --speed …` prints, or leave it unset for the real time."
        ) from None
    return lambda: shown + (system_clock() - anchor) * pace


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)
