"""Bodies of requests as readings of one shape, and the reasons why others are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from aq_resources.device_keys import DEVICE
from aq_resources.spool.frames import Note
from aq_science.device_kinds import KINDS, SENSORS

SECOND_US = 1_000_000
# 2015: a clock that says less has never been set; no device here is as old.
_NEVER_SET_US = 1_420_070_400 * SECOND_US
# Seconds since 1970 in the year 5138; milliseconds of today are beyond it.
_MOST_SECONDS = 1e11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# `2023-03-28T20:04`: what is shorter has no time of the day.
_SHORTEST_STAMP = 16
_KEPT_CHARACTERS = 500


class Message(msgspec.Struct, gc=False):
    """One message as a device sends it; fields of other meaning are left alone."""

    device_id: str
    timestamp: str | float
    tag: str
    temperature: float | None = None
    humidity: float | None = None
    pressure: float | None = None
    heart_rate: float | None = None
    pm25: float | None = None
    pm10: float | None = None
    co: float | None = None
    no2: float | None = None
    o3: float | None = None


class UnreadableBody(ValueError):  # noqa: N818
    """No message of a body can be read."""


class TooManyMessages(ValueError):  # noqa: N818
    """A body has more messages than one request may bring."""


class RefusedMessage(ValueError):  # noqa: N818
    """One message that is refused: the field that is wrong with it, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = name, reason


@dataclass(frozen=True)
class Limits:
    """What may be sent, and when. Times in µs."""

    ahead: int
    late: int
    oldest: int
    messages: int


@dataclass
class Batch:
    """What a request brought: readings column by column, and its refused messages."""

    messages: int = 0
    device: list[str] = field(default_factory=list)
    sensor: list[str] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    note: list[int] = field(default_factory=list)
    refused: list[tuple[int, str, str, str]] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """Messages that were taken."""
        return self.messages - len(self.refused)

    def refuse(self, index: int, why: RefusedMessage, raw: str) -> None:
        """Note a refused message.

        Args:
            index: Its number in the request.
            why: The reason.
            raw: What it was; the beginning is kept.
        """
        self.refused.append((index, why.field, why.reason, raw[:_KEPT_CHARACTERS]))


_json_one, _json_many = msgspec.json.Decoder(Message), msgspec.json.Decoder(list[Message])
_json_raw = msgspec.json.Decoder(list[msgspec.Raw])
_pack_one, _pack_many = msgspec.msgpack.Decoder(Message), msgspec.msgpack.Decoder(list[Message])
_pack_raw = msgspec.msgpack.Decoder(list[msgspec.Raw])
# A body may be nested without end, or in no encoding.
_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_WHITE = b" \t\r\n"

# A message, or what is wrong with it.
Read = Message | RefusedMessage


class Parts(NamedTuple):
    """What a body was made of.

    Attributes:
        messages: One after the other.
        raw: The bytes of each; None where they were decoded together.
    """

    messages: Sequence[Read]
    raw: Sequence[bytes] | None = None

    def text(self, index: int) -> str:
        """A message as it can be shown."""
        if self.raw is None:
            return msgspec.json.encode(self.messages[index]).decode()
        return self.raw[index][:_KEPT_CHARACTERS].decode("utf-8", "replace")


def read_body(body: bytes, form: str, most: int) -> Parts:
    """The messages of a body.

    Args:
        body: As it came.
        form: `json`, `ndjson` or `msgpack`.
        most: How many there may be.

    Returns:
        Each message, or why it is none.

    Raises:
        UnreadableBody: It is not what it should be as a whole.
        TooManyMessages: There are more.
    """
    if form == "ndjson":
        lines = [line for line in body.split(b"\n") if line.strip(_WHITE)]
        if not lines:
            raise UnreadableBody("the body is empty")
        return _one_by_one(_json_one, _within(lines, most))
    packed = form == "msgpack"
    one, many, raw = (
        (_pack_one, _pack_many, _pack_raw) if packed else (_json_one, _json_many, _json_raw)
    )
    is_list = _is_packed_list(body) if packed else body.lstrip(_WHITE)[:1] == b"["
    if not is_list:
        return Parts([_whole(one, body)], [body])
    try:
        messages = many.decode(body)
    except _UNDECODABLE:
        try:
            parts = raw.decode(body)
        except _UNDECODABLE as error:
            raise UnreadableBody(_said(error)) from None
        return _one_by_one(one, list(map(bytes, _within(parts, most))))
    return Parts(_within(messages, most))


def take(
    parts: Parts,
    received: int,
    limits: Limits,
    batch: Batch,
    wrong_clock: RefusedMessage | None = None,
) -> None:
    """Check messages and add what they hold.

    Args:
        parts: As `read_body` gives them.
        received: When they came, µs since 1970.
        limits: On their stamps.
        batch: Takes readings and refusals.
        wrong_clock: Why none of the stamps can be right, if so.
    """
    batch.messages += len(parts.messages)
    for index, message in enumerate(parts.messages):
        try:
            if isinstance(message, RefusedMessage):
                raise message
            if wrong_clock is not None:
                raise wrong_clock
            _add(message, received, limits, batch)
        except RefusedMessage as why:
            batch.refuse(index, why, parts.text(index))


def _add(message: Message, received: int, limits: Limits, batch: Batch) -> None:
    sensors = KINDS.get(message.tag)
    if sensors is None:
        raise RefusedMessage("tag", f"is none of {', '.join(KINDS)}")
    device = message.device_id
    if not DEVICE.fullmatch(device):
        raise RefusedMessage("device_id", "must be 1 to 64 of A-Z a-z 0-9 _ . : -")
    moment, note = _moment(message.timestamp)
    _check_moment(moment, received, limits)
    if received - moment > limits.late:
        note |= Note.LATE
    values = []
    for sensor in sensors:
        value = getattr(message, sensor)
        if value is None:
            continue
        known = SENSORS[sensor]
        if not known.least <= value <= known.most:
            raise RefusedMessage(
                sensor, f"{value:g} is outside {known.least:g} to {known.most:g} {known.unit}"
            )
        values.append((sensor, value))
    if not values:
        raise RefusedMessage(sensors[0], f"is missing: {message.tag} sends {' or '.join(sensors)}")
    for sensor, value in values:
        batch.device.append(device)
        batch.sensor.append(sensor)
        batch.time.append(moment)
        batch.value.append(value)
        batch.note.append(note)


def _moment(stamp: str | float) -> tuple[int, int]:
    """A stamp in µs since 1970, and what is to be said of it."""
    if isinstance(stamp, str):
        try:
            if len(stamp) < _SHORTEST_STAMP:
                raise ValueError
            read = datetime.fromisoformat(stamp)
            if read.tzinfo is None:
                return _microseconds(read.replace(tzinfo=UTC)), Note.NAIVE
            return _microseconds(read), 0
        except (ValueError, OverflowError):
            raise RefusedMessage(
                "timestamp", "is no time: write 2023-03-28T20:04:22Z, or seconds since 1970"
            ) from None
    if not math.isfinite(stamp) or not 0 <= stamp < _MOST_SECONDS:
        raise RefusedMessage("timestamp", f"{stamp:g} is no number of seconds since 1970")
    return round(stamp * SECOND_US), 0


def _microseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def _check_moment(moment: int, received: int, limits: Limits) -> None:
    """Refuse a stamp that only a wrong clock can give, and one too old to be taken."""
    if moment - received > limits.ahead:
        ahead = (moment - received) // SECOND_US
        raise RefusedMessage("timestamp", f"clock_ahead: it lies {ahead} s ahead; set the clock")
    if moment < _NEVER_SET_US:
        raise RefusedMessage("timestamp", "clock_unset: it lies before 2015; set the clock")
    if received - moment > limits.oldest:
        days = limits.oldest // (86_400 * SECOND_US)
        raise RefusedMessage("timestamp", f"too_late: readings are taken for {days} days")


def _within(parts: list[Any], most: int) -> list[Any]:
    if len(parts) > most:
        raise TooManyMessages(f"{len(parts)} messages; {most} are the most in a request")
    if not parts:
        raise UnreadableBody("the list is empty")
    return parts


def _one_by_one(decoder: Any, parts: Sequence[bytes]) -> Parts:
    messages: list[Read] = []
    for part in parts:
        try:
            messages.append(decoder.decode(part))
        except _UNDECODABLE as error:
            messages.append(_refusal(error))
    return Parts(messages, parts)


def _whole(decoder: Any, body: bytes) -> Read:
    """A body that is one message; its syntax is the body's."""
    try:
        message: Message = decoder.decode(body)
    except msgspec.ValidationError as error:
        return _refusal(error)
    except _UNDECODABLE as error:
        raise UnreadableBody(_said(error)) from None
    return message


def _refusal(error: Exception) -> RefusedMessage:
    text, _, place = _said(error).partition(" - at `$")
    name = place.strip(".`")
    if not name and "required field `" in text:
        name = text.partition("required field `")[2].rstrip("`")
    return RefusedMessage(name or "message", text)


def _said(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _is_packed_list(body: bytes) -> bool:
    """Whether MessagePack begins with a list: its first byte says so."""
    first = body[0] if body else 0
    return first >> 4 == 0x9 or first in (0xDC, 0xDD)
