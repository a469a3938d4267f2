"""The clock: real, or simulated for a rehearsal of hours in minutes (AQ_CLOCK)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from aq_resources.failures import SettingsError

Clock = Callable[[], datetime]
_FILE = "file://"


def system_clock() -> datetime:
    """The present instant, UTC."""
    return datetime.now(UTC)


def open_clock(setting: str) -> Clock:
    """The clock of AQ_CLOCK: `<real instant>/<simulated instant>/<speed>`; empty means real.

    At the real instant the simulated clock showed the simulated one; since then it has run at
    `speed` simulated seconds a second. Every process with the same setting sees the same time.

    `file://<path>` names a file that holds such a line. It is read whenever the time is asked for,
    so that whoever rehearses can stop the clock until the platform has caught up.
    """
    if not setting:
        return system_clock
    if setting.startswith(_FILE):
        path = Path(setting.removeprefix(_FILE))
        # A wrong file is named at once.
        _simulated(_line(path))

        def now() -> datetime:
            return _simulated(_line(path))()

        return now
    return _simulated(setting)


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"AQ_CLOCK: {path} cannot be read ({error.strerror}). It must hold the line that "
            "`aq sandbox --now … --speed …` prints."
        ) from None


def _simulated(line: str) -> Clock:
    try:
        real, simulated, speed = line.split("/")
        anchor, shown, pace = _instant(real), _instant(simulated), float(speed)
    except ValueError:
        raise SettingsError(
            f"AQ_CLOCK: {line!r} is not <real instant>/<simulated instant>/<speed>. Take the "
            "line that `aq sandbox --now … --speed …` prints, or leave it unset for the real time."
        ) from None
    return lambda: shown + (system_clock() - anchor) * pace


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)
