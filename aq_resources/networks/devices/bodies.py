"""Answers of the spool: a segment's readings of an hour, its refusals, or that it is empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from aq_resources.spool.frames import Frame, Note, Readings, Refusals
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.devices.readings import READING_SCHEMA
from aq_science.windows import DAY, HOUR, Window

# Statuses of the three kinds of answers.
TAKEN, NOTHING, REFUSED = 200, 204, 422
_HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Body(msgspec.Struct):
    """Readings column by column, times in µs since 1970."""

    fleet: list[str] = msgspec.field(default_factory=list)
    device_id: list[str] = msgspec.field(default_factory=list)
    sensor: list[str] = msgspec.field(default_factory=list)
    time: list[int] = msgspec.field(default_factory=list)
    value: list[float] = msgspec.field(default_factory=list)
    note: list[int] = msgspec.field(default_factory=list)
    received: list[int] = msgspec.field(default_factory=list)


class RefusedBody(msgspec.Struct):
    """Refused messages column by column."""

    fleet: list[str] = msgspec.field(default_factory=list)
    key_id: list[str] = msgspec.field(default_factory=list)
    received: list[int] = msgspec.field(default_factory=list)
    index: list[int] = msgspec.field(default_factory=list)
    field: list[str] = msgspec.field(default_factory=list)
    reason: list[str] = msgspec.field(default_factory=list)
    raw: list[str] = msgspec.field(default_factory=list)


_decode = msgspec.json.Decoder(Body).decode
_decode_refused = msgspec.json.Decoder(RefusedBody).decode
_encode = msgspec.json.Encoder().encode


def answers_of(segment: str, frames: Iterable[Frame]) -> Iterator[RawAnswer]:
    """A segment as answers; the same segment gives the same answers, to the byte.

    Args:
        segment: Its name without its state.
        frames: What is in it.

    Yields:
        One an hour of its readings, and one of its refusals.
    """
    hours: dict[int, Body] = {}
    refused = RefusedBody()
    for frame in frames:
        if isinstance(frame, Refusals):
            _add_refusals(refused, frame)
        else:
            _add_readings(hours, frame)
    for hour in sorted(hours):
        start = instant_of(hour * _HOUR_US)
        body = hours[hour]
        yield _answer(segment, Window(start, start + HOUR), body.received, TAKEN, body)
    if refused.received:
        day = instant_of(min(refused.received)).replace(hour=0, minute=0, second=0, microsecond=0)
        yield _answer(segment, Window(day, day + DAY), refused.received, REFUSED, refused)


def nothing_more(day: Window, now: datetime) -> RawAnswer:
    """The word that all that had come for a day by now is in the answers before."""
    return RawAnswer("spool:", {}, (day.start, day.end), now, NOTHING, "")


def readings_of(answer: RawAnswer) -> pl.DataFrame:
    """The readings of an answer, `READING_SCHEMA`; none of one that holds others.

    Raises:
        msgspec.DecodeError: The body has another form.
    """
    if answer.status != TAKEN:
        return READING_SCHEMA.to_frame()
    body = _decode(answer.body)
    columns: dict[str, Any] = {name: getattr(body, name) for name in body.__struct_fields__}
    late = pl.Series("note", columns.pop("note"), pl.Int64) & int(Note.LATE)
    frame = pl.DataFrame({**columns, "late": late != 0})
    return frame.select(pl.col(name).cast(kind) for name, kind in READING_SCHEMA.items())


def refusals_of(answer: RawAnswer) -> pl.DataFrame:
    """The refused messages of an answer, with `received_at`; none of one that holds others.

    Raises:
        msgspec.DecodeError: The body has another form.
    """
    body = _decode_refused(answer.body) if answer.status == REFUSED else RefusedBody()
    columns = {name: getattr(body, name) for name in body.__struct_fields__}
    text = dict.fromkeys(("fleet", "key_id", "field", "reason", "raw"), pl.String())
    number = dict.fromkeys(("received", "index"), pl.Int64())
    return pl.DataFrame(columns, schema_overrides={**text, **number}).with_columns(
        received_at=pl.col("received").cast(pl.Datetime("us", "UTC"))
    )


def instant_of(microseconds: int) -> datetime:
    """A time in µs since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _answer(
    segment: str, covers: Window, received: list[int], status: int, body: Body | RefusedBody
) -> RawAnswer:
    window = (covers.start, covers.end)
    came = instant_of(max(received))
    params = {"segment": segment}
    return RawAnswer("spool:", params, window, came, status, _encode(body).decode())


def _add_readings(hours: dict[int, Body], frame: Readings) -> None:
    rows = zip(frame.device, frame.sensor, frame.time, frame.value, frame.note, strict=True)
    for device, sensor, time, value, note in rows:
        body = hours.get(time // _HOUR_US)
        if body is None:
            body = hours[time // _HOUR_US] = Body()
        body.fleet.append(frame.fleet)
        body.device_id.append(device)
        body.sensor.append(sensor)
        body.time.append(time)
        body.value.append(value)
        body.note.append(note)
        body.received.append(frame.received)


def _add_refusals(body: RefusedBody, frame: Refusals) -> None:
    count = len(frame.index)
    body.fleet += [frame.fleet] * count
    body.key_id += [frame.key] * count
    body.received += [frame.received] * count
    body.index += frame.index
    body.field += frame.field
    body.reason += frame.reason
    body.raw += frame.raw
