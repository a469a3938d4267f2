"""From a body to frames of the spool, whichever way it came."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import compress

from aq_resources.spool.frames import Readings, Refusals, encode
from aq_serving.ingest.committer import Frames
from aq_serving.ingest.messages import (
    SECOND_US,
    Batch,
    Limits,
    RefusedMessage,
    UnreadableBody,
    read_body,
    take,
)
from aq_serving.ingest.settings import IngestSettings

_DAY_US = 86_400 * SECOND_US
_EPOCH_DAY = date(1970, 1, 1)
_KEPT_BYTES = 1000


def limits_of(settings: IngestSettings, late_days: int) -> Limits:
    """What may be sent, and when.

    Args:
        settings: Limits of the endpoint.
        late_days: Readings older than this are refused.

    Returns:
        The same in the messages' units.
    """
    return Limits(
        settings.clock_ahead_seconds * SECOND_US,
        settings.late_seconds * SECOND_US,
        late_days * _DAY_US,
        settings.batch_readings,
    )


def batch_of(
    body: bytes,
    form: str,
    received: int,
    limits: Limits,
    wrong_clock: RefusedMessage | None = None,
) -> Batch:
    """What a body brings; one that cannot be read is a refused message.

    Args:
        body: As it came.
        form: `json`, `ndjson` or `msgpack`.
        received: When it came, µs since 1970.
        limits: What may be sent.
        wrong_clock: Why none of its stamps can be right, if so.

    Returns:
        Readings and refused messages.

    Raises:
        TooManyMessages: There are more than one body may bring.
    """
    batch = Batch()
    try:
        parts = read_body(body, form, limits.messages)
    except UnreadableBody as error:
        return refused_whole(body, RefusedMessage("body", f"cannot be read: {error}"))
    take(parts, received, limits, batch, wrong_clock)
    return batch


def refused_whole(body: bytes, why: RefusedMessage) -> Batch:
    """A body that brings nothing but its refusal.

    Args:
        body: As it came; its beginning is kept.
        why: The reason.

    Returns:
        One refused message.
    """
    batch = Batch(messages=1)
    batch.refuse(0, why, body[:_KEPT_BYTES].decode("utf-8", "replace"))
    return batch


def frames_of(batch: Batch, key: str, fleet: str, received: int) -> Frames:
    """What is to be written of a body.

    Args:
        batch: What it brought.
        key: By which key it came.
        fleet: Whose it is.
        received: When it came, µs since 1970.

    Returns:
        Frames, each with its day.
    """
    frames = []
    if batch.time:
        first, last = min(batch.time) // _DAY_US, max(batch.time) // _DAY_US
        if first == last:
            days = {first: batch}
        else:
            days = {day: _of_day(batch, day) for day in sorted({t // _DAY_US for t in batch.time})}
        frames += [
            (
                _EPOCH_DAY + timedelta(days=day),
                encode(
                    Readings(
                        fleet, received, part.device, part.sensor, part.time, part.value, part.note
                    )
                ),
            )
            for day, part in days.items()
        ]
    if batch.refused:
        index, fields, reasons, raw = zip(*batch.refused, strict=True)
        refusals = Refusals(
            fleet, key, received, list(index), list(fields), list(reasons), list(raw)
        )
        frames.append((_EPOCH_DAY + timedelta(days=received // _DAY_US), encode(refusals)))
    return frames


def _of_day(batch: Batch, day: int) -> Batch:
    of_day = [moment // _DAY_US == day for moment in batch.time]
    return Batch(
        device=list(compress(batch.device, of_day)),
        sensor=list(compress(batch.sensor, of_day)),
        time=list(compress(batch.time, of_day)),
        value=list(compress(batch.value, of_day)),
        note=list(compress(batch.note, of_day)),
    )


def microseconds(moment: datetime) -> int:
    """A time in µs since 1970."""
    return round(moment.timestamp() * SECOND_US)
