"""How a message reads: a subject, and a line for each thing to know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from aq_science.windows import DAY, HOUR, Window, midnight
from aq_sensors.alerts.state import Message

# Texts that go to people stay readable, and the cursor small.
VALUE_LENGTH = 600


def compose(subject: str, lines: Mapping[str, str], run: str, *, ended: bool = False) -> Message:
    """A message of `name: value` lines.

    Args:
        subject: What happened, to what.
        lines: What to know of it, by name; an empty value is left out, a long one is cut.
        run: Address or id of the run it is about; empty where there is none.
        ended: Whether it says that an incident is over.

    Returns:
        The message as it is logged and sent.
    """
    text = "\n".join(
        f"{name}: {_shortened(value)}" for name, value in {**lines, "Run": run}.items() if value
    )
    return Message(f"[aq] {subject}", text, ended)


def window_text(window: Window | None) -> str:
    """A window as people write it: an hour, hours, a day or days, the last one included."""
    if window is None:
        return ""
    whole = all(edge == midnight(edge.date()) for edge in (window.start, window.end))
    step, form = (DAY, "%Y-%m-%d") if whole else (HOUR, "%Y-%m-%d %H:%MZ")
    first, last = window.start.strftime(form), (window.end - step).strftime(form)
    return first if first == last else f"{first} to {last}"


def moment(instant: datetime | None) -> str:
    """A UTC time to the minute; empty without one."""
    return f"{instant:%Y-%m-%d %H:%M}Z" if instant is not None else ""


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= VALUE_LENGTH else f"{text[: VALUE_LENGTH - 1]}…"
