"""Server-sent events: what is told to whom, once, and that a stream costs and keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import timedelta
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest

from aq_serving import live
from aq_serving.live import Live, Stream, Window
from aq_serving.problems import ProblemError
from tests.factories import utc

NOW = utc(2026, 3, 10, 10, 15)


def window(station: str = "town.1", seconds: int = 0, count: int = 10) -> Window:
    start = NOW + timedelta(seconds=seconds)
    return Window(station, "pm25", start, 10, count, 8.5, 8.0, 9.0, "µg/m³")


def published(identity: str) -> Any:
    return SimpleNamespace(epoch=(identity, NOW))


def events(stream: Stream) -> list[dict[str, str]]:
    """What waits for a stream, field by field."""
    told = b"".join(stream._pending.values()).decode()
    stream._pending = {}
    return [
        dict(line.split(": ", 1) for line in one.split("\n")) for one in told.split("\n\n")[:-1]
    ]


def test_who_begins_hears_of_the_publication_and_who_knows_it_does_not() -> None:
    hub = Live(published("a" * 64), None, 10, 10)
    [event] = events(hub.join("1.1.1.1", [], ""))
    assert event["event"] == "publication"
    assert json.loads(event["data"])["published"] == "a" * 64
    assert events(hub.join("1.1.1.1", [], event["id"])) == []
    assert len(events(hub.join("1.1.1.1", [], "of another server"))) == 1


def test_windows_are_told_once_and_again_where_they_grew() -> None:
    stream = Stream("1.1.1.1", ["town.1"], "")
    stream.windows([window(), window("town.2")])
    [event] = events(stream)
    assert [one["station_id"] for one in json.loads(event["data"])] == ["town.1"]
    stream.windows([window()])
    assert events(stream) == []
    stream.windows([window(count=11)])
    stream.windows([window(seconds=10)])
    # The newest only: who is slow need not hear of what is past.
    [event] = events(stream)
    assert json.loads(event["data"])[0]["window_start"] == "2026-03-10T10:15:10Z"
    # After a connection that broke, what was heard before is not told again.
    later = Stream("1.1.1.1", ["town.1"], event["id"])
    later.windows([window()])
    assert events(later) == []
    later.windows([window(seconds=20)])
    assert len(events(later)) == 1


def test_streams_are_bounded_and_given_back() -> None:
    hub = Live(published(""), None, 3, 2)
    first = [hub.join("1.1.1.1", [], "") for _ in range(2)]
    with pytest.raises(ProblemError) as refused:
        hub.join("1.1.1.1", [], "")
    assert refused.value.status == 429
    hub.join("2.2.2.2", [], "")
    with pytest.raises(ProblemError) as refused:
        hub.join("3.3.3.3", [], "")
    assert refused.value.status == 503
    assert "Retry-After" in refused.value.headers
    hub.leave(first[0])
    hub.join("3.3.3.3", [], "")
    hub.end()
    with pytest.raises(ProblemError):
        hub.join("4.4.4.4", [], "")


def test_what_cannot_be_read_ends_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "no"), [window()]]

    def read(stations: Any) -> Any:
        assert set(stations) == {"town.1"}
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def listen() -> list[bytes]:
        hub = Live(published(""), read, 3, 2)
        stream = hub.join("1.1.1.1", ["town.1"], "")
        task = asyncio.create_task(hub.run())
        parts = []
        async for part in stream.events():
            parts.append(part)
            if b"windows" in part:
                hub.end()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return parts

    monkeypatch.setattr(live, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(live, "WINDOWS_SECONDS", 0.0)
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.01)
    parts = asyncio.run(listen())
    assert parts[0] == b"retry: 3000\n\n"
    assert b"event: windows" in parts[-1]
    assert set(parts[1:-1]) <= {b": \n\n"}
