"""What is new as it comes: `/live`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from aq_science.device_kinds import OF_THE_AIR
from aq_science.windows import HOUR
from aq_serving.limits import sender_of
from aq_serving.live import Live, Stream, Window
from aq_serving.reader import Reader
from aq_serving.resource import problem_responses

MEDIA_TYPE = "text/event-stream"
# No proxy may wait for more of it.
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
_NEWEST = (
    "SELECT fleet || '.' || device_id AS station_id, sensor::VARCHAR AS sensor, window_start, "
    "seconds, count, mean, minimum, maximum, unit::VARCHAR AS unit "
    "FROM devices.window_averages WHERE window_start >= ?::TIMESTAMPTZ "
    "AND station_id = ANY(?::VARCHAR[]) AND sensor::VARCHAR = ANY(?::VARCHAR[]) "
    "QUALIFY row_number() OVER (PARTITION BY fleet, device_id, sensor "
    "ORDER BY window_start DESC) = 1 ORDER BY ALL"
)


class LiveQuery(BaseModel):
    """Parameters of `/live`."""

    model_config = ConfigDict(extra="forbid")

    station_id: list[Annotated[str, Field(max_length=100)]] = Field(
        [],
        max_length=20,
        description="Devices, `<fleet>.<device>`, whose newest windows are wanted; may be repeated",
    )


def router(live: Live) -> APIRouter:
    """The resource `/live`."""
    found = APIRouter(tags=["now"])
    responses = problem_responses()
    stream = {"description": "Events as they come", "content": {MEDIA_TYPE: {}}}

    @found.get(
        "/live",
        status_code=200,
        response_class=EventStream,
        responses={**responses, 200: stream},
    )
    async def live_events(
        request: Request,
        asked: Annotated[LiveQuery, Query()],
        last_event_id: Annotated[
            str, Header(max_length=200, description="The last event that came, after a break.")
        ] = "",
    ) -> EventStream:
        """What is new, as server-sent events.

        `publication` comes where answers of now may be others than before: with a new publication,
        and each quarter of an hour. `windows` has the newest averages of the devices asked for.
        """
        address = sender_of(request.client.host if request.client else "")
        return EventStream(live, live.join(address, asked.station_id, last_event_id))

    return found


class EventStream(StreamingResponse):
    """A stream that is given back, however it ends."""

    media_type = MEDIA_TYPE

    def __init__(self, live: Live, stream: Stream) -> None:
        super().__init__(stream.events(), headers=_HEADERS)
        self._live, self._stream = live, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.leave(self._stream)


def newest_windows(
    reader: Reader, now: Callable[[], datetime]
) -> Callable[[Collection[str]], Iterable[Window]]:
    """Reads the newest windows of devices, of what they measure of the air.

    Args:
        reader: Reads.
        now: The clock: a device that was silent for an hour has none.

    Returns:
        A function of stations' ids.
    """

    def read(stations: Collection[str]) -> Iterable[Window]:
        values = [now() - HOUR, sorted(stations), list(OF_THE_AIR)]
        return (Window(*row) for row in reader.query(_NEWEST, values).iter_rows())

    return read
