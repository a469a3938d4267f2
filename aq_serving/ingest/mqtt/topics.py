"""Messages of a broker: whose they are by their topic, and in which form they are.

`<prefix>/<fleet>/<device>` is one device's, `<prefix>/<fleet>` a gateway's, which may bring
readings of any device of its fleet. Who may publish where is the broker's to say: what it lets
through at a topic counts as that fleet's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from aq_resources.device_keys import DEVICE, FLEET
from aq_serving.ingest.messages import RefusedMessage

# A line that is an object as a whole, and another one after it.
_LINES = re.compile(rb"\s*\{[^\n]*\}[ \t\r]*\n\s*\{")


class Sender(NamedTuple):
    """Whose a message is. `device`: None where its fleet's gateway sends it."""

    fleet: str
    device: str | None


def sender_of_topic(prefix: str, topic: str) -> Sender:
    """Whose a topic is.

    Args:
        prefix: How all topics begin, without the slash.
        topic: One of them.

    Returns:
        Fleet and device.

    Raises:
        RefusedMessage: It is no topic of a fleet.
    """
    levels = topic.removeprefix(f"{prefix}/").split("/")
    fleet, device = levels[0], levels[1] if len(levels) > 1 else None
    if not FLEET.fullmatch(fleet):
        raise RefusedMessage(
            "topic", f"{topic[:200]!r} names no fleet: up to 32 of a-z, 0-9 and -, as in school-7"
        )
    if device is not None and not DEVICE.fullmatch(device):
        raise RefusedMessage(
            "topic", f"{topic[:200]!r} names no device: 1 to 64 of A-Z a-z 0-9 _ . : -"
        )
    return Sender(fleet, device)


def form_of_payload(payload: bytes) -> str:
    """`json`, `ndjson` or `msgpack`: the first byte tells, since most devices do not say."""
    if payload.lstrip(b" \t\r\n")[:1] not in (b"{", b"["):
        return "msgpack"
    return "ndjson" if _LINES.match(payload) else "json"
