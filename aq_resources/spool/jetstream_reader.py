"""The reading end of JetStream: sequences of a day's messages are cut into segments once, and the
cuts are kept, so that a segment holds the same whoever reads it and however often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import date
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from aq_resources.decoders import decoder_of
from aq_resources.spool.frames import Frame, decode
from aq_resources.spool.home import DONE, READY, Segment, Value
from aq_resources.spool.jetstream import ANSWER_SECONDS, Address, connected, ensure_bucket, library

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext
    from nats.js.kv import KeyValue

# A segment is cut after so many bytes: bounds the memory of who reads it.
SEGMENT_BYTES = 8 << 20
_TOGETHER = 64

Result = TypeVar("Result")


class _Cut(msgspec.Struct):
    first: int
    last: int
    messages: int
    state: str


class _Day(msgspec.Struct):
    # Of the stream: sequences of another one mean nothing.
    created: str = ""
    # Sequence up to which all is done and deleted.
    through: int = 0
    cuts: list[_Cut] = msgspec.field(default_factory=list)

    def name(self, cut: _Cut) -> str:
        """The segment's, in order of the sequences."""
        return f"{self.created}-{cut.first:012d}-{cut.last:012d}"

    def segments(self, day: date, states: Iterable[str]) -> list[Segment]:
        wanted = set(states)
        return [Segment(day, self.name(c), c.state) for c in self.cuts if c.state in wanted]


class JetStreamSpool:
    """Any process's view of the stream (see `Home`); connected only while it is asked."""

    def __init__(self, address: Address, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Connects to nothing.

        Args:
            address: Where it is.
            segment_bytes: A segment is cut after so many.

        Raises:
            SettingsError: The client is not installed.
        """
        library()
        self.address = address
        self._segment_bytes = segment_bytes

    def days(self, *states: str) -> list[date]:
        """Days with a segment in one of the states, in order."""

        async def ask(stream: _Stream) -> list[date]:
            days = await stream.days()
            return [day for day in days if await stream.segments(day, states)]

        return self._run(ask)

    def segments(self, day: date, *states: str) -> list[Segment]:
        """Segments of a day in one of the states, the oldest first."""
        return self._run(lambda stream: stream.segments(day, states))

    def frames(self, segment: Segment) -> Iterator[Frame]:
        """The frames of a segment; none of one that another process has moved on."""
        for message in self._run(lambda stream: stream.messages(segment)):
            yield from decode(message)

    def move_on(self, segments: Iterable[Segment], state: str) -> None:
        """Give segments their next state; those that are done are deleted."""
        days: dict[date, set[str]] = {}
        for segment in segments:
            days.setdefault(segment.day, set()).add(segment.name)

        async def ask(stream: _Stream) -> None:
            for day, names in days.items():
                await stream.move_on(day, names, state)

        if days:
            self._run(ask)

    def remove_done(self, before: float) -> int:  # noqa: ARG002
        """Nothing: what is done is deleted at once, so that there is room."""
        return 0

    def waiting_bytes(self) -> int:
        """Size of what is not yet in the tables."""

        async def ask(stream: _Stream) -> int:
            return await stream.size()

        return self._run(ask)

    def shared(
        self, name: str, kind: type[Value], initial: Callable[[], Value]
    ) -> JetStreamValue[Value]:
        """A value in the bucket.

        Args:
            name: Its name.
            kind: Its type.
            initial: Makes it where there is none.
        """
        return JetStreamValue(self._run, name, kind, initial)

    def _run(self, ask: Callable[[_Stream], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            async with connected(self.address) as js:
                return await ask(_Stream(js, self.address, self._segment_bytes))

        return asyncio.run(run())


class JetStreamValue(Generic[Value]):
    """A value of a declared type in the bucket (see `Shared`)."""

    def __init__(
        self,
        run: Callable[[Callable[[_Stream], Awaitable[Any]]], Any],
        name: str,
        kind: type[Value],
        initial: Callable[[], Value],
    ) -> None:
        """Connects to nothing.

        Args:
            run: Asks the server.
            name: Its name.
            kind: Its type.
            initial: Makes it where there is none.
        """
        self._run, self._name, self._kind, self._initial = run, name, kind, initial

    def read(self) -> Value:
        """The value as it was last written."""
        raw, _ = self._run(lambda stream: stream.get(self._name))
        return self._decoded(raw)

    def change(self, change: Callable[[Value], None]) -> None:
        """Change the value in place, again where another process has changed it meanwhile."""

        async def ask(stream: _Stream) -> None:
            while True:
                raw, revision = await stream.get(self._name)
                value = self._decoded(raw)
                change(value)
                if await stream.put(self._name, msgspec.json.encode(value), revision):
                    return

        self._run(ask)

    def _decoded(self, raw: bytes) -> Value:
        try:
            return decoder_of(self._kind).decode(raw)
        except msgspec.DecodeError:
            return self._initial()


class _Stream:
    """Requests over one connection."""

    def __init__(self, js: JetStreamContext, address: Address, segment_bytes: int) -> None:
        self._js, self._address, self._segment_bytes = js, address, segment_bytes
        self._bucket: KeyValue | None = None

    async def size(self) -> int:
        info = await self._info()
        return 0 if info is None else int(info.state.bytes)

    async def days(self) -> list[date]:
        """Those with a message."""
        info = await self._info(f"{self._address.stream}.*")
        subjects = (info and info.state.subjects) or {}
        found = []
        for subject in subjects:
            try:
                found.append(date.fromisoformat(subject.rpartition(".")[2]))
            except ValueError:
                continue
        return sorted(found)

    async def segments(self, day: date, states: Iterable[str]) -> list[Segment]:
        wanted = set(states)
        info = await self._info()
        if info is None:
            return []
        while True:
            known, revision = await self._day(day, info)
            if READY not in wanted:
                return known.segments(day, wanted)
            start = known.cuts[-1].last if known.cuts else known.through
            new = await self._cut(day, start + 1)
            if not new:
                return known.segments(day, wanted)
            known.cuts += new
            if await self.put(f"{day}", msgspec.json.encode(known), revision):
                return known.segments(day, wanted)

    async def messages(self, segment: Segment) -> list[bytes]:
        info = await self._info()
        if info is None:
            return []
        known, _ = await self._day(segment.day, info)
        return [
            message.data
            for cut in known.cuts
            if known.name(cut) == segment.name
            for message in await self._read(segment.day, cut.first, cut.messages)
            if message.metadata.sequence.stream <= cut.last
        ]

    async def move_on(self, day: date, names: set[str], state: str) -> None:
        info = await self._info()
        if info is None:
            return
        while True:
            known, revision = await self._day(day, info)
            for cut in known.cuts:
                if known.name(cut) in names and cut.state != DONE:
                    cut.state = state
            if await self.put(f"{day}", msgspec.json.encode(known), revision):
                break
        if state == DONE:
            await self._delete_done(day, info)

    async def _delete_done(self, day: date, info: Any) -> None:
        while True:
            known, revision = await self._day(day, info)
            # No further than the first one that is not: a run may be under way to store it.
            done = list(takewhile(lambda cut: cut.state == DONE, known.cuts))
            if not done:
                return
            known.through = done[-1].last
            del known.cuts[: len(done)]
            await self._js.purge_stream(
                self._address.stream, seq=known.through + 1, subject=self._address.subject(day)
            )
            if await self.put(f"{day}", msgspec.json.encode(known), revision):
                return

    async def get(self, key: str) -> tuple[bytes, int]:
        """A value of the bucket and its revision; nothing and 0 where there is none."""
        from nats.js.errors import KeyNotFoundError

        try:
            entry = await (await self._values()).get(key)
        except KeyNotFoundError:
            return b"", 0
        return entry.value or b"", entry.revision or 0

    async def put(self, key: str, value: bytes, revision: int) -> bool:
        """Replace a value that has not changed since; whether it had not."""
        from nats.js.errors import KeyWrongLastSequenceError

        try:
            await (await self._values()).update(key, value, last=revision)
        except KeyWrongLastSequenceError:
            return False
        return True

    async def _values(self) -> KeyValue:
        if self._bucket is None:
            self._bucket = await ensure_bucket(self._js, self._address)
        return self._bucket

    async def _info(self, subjects: str | None = None) -> Any:
        """Of the stream; None before there is one."""
        from nats.js.errors import NotFoundError

        try:
            return await self._js.stream_info(self._address.stream, subjects)
        except NotFoundError:
            return None

    async def _day(self, day: date, info: Any) -> tuple[_Day, int]:
        raw, revision = await self.get(f"{day}")
        known = decoder_of(_Day).decode(raw) if raw else _Day()
        if known.created != _stamp(info):
            known = _Day(_stamp(info))
        return known, revision

    async def _cut(self, day: date, start: int) -> list[_Cut]:
        """Segments of all that has come from a sequence on."""
        cuts: list[_Cut] = []
        size = self._segment_bytes
        for message in await self._read(day, start, None):
            number = message.metadata.sequence.stream
            if size >= self._segment_bytes:
                cuts.append(_Cut(number, number, 0, READY))
                size = 0
            cuts[-1].last = number
            cuts[-1].messages += 1
            size += int((message.headers or {}).get("Nats-Msg-Size", 0))
        return cuts

    async def _read(self, day: date, start: int, count: int | None) -> list[Msg]:
        """So many messages of a day from a sequence on; None: heads of all that there are now."""
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        stream = self._address.stream
        consumer = await self._js.add_consumer(
            stream,
            ConsumerConfig(
                filter_subject=self._address.subject(day),
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                ack_policy=AckPolicy.NONE,
                headers_only=count is None,
                mem_storage=True,
                inactive_threshold=60.0,
            ),
        )
        there = consumer.num_pending or 0
        left = there if count is None else min(count, there)
        found: list[Msg] = []
        pulled = await self._js.pull_subscribe_bind(consumer=consumer.name, stream=stream)
        try:
            while left > 0:
                some = await pulled.fetch(min(left, _TOGETHER), timeout=ANSWER_SECONDS)
                left -= len(some)
                found += some
        finally:
            await self._js.delete_consumer(stream, consumer.name)
        return found


def _stamp(info: Any) -> str:
    return f"{info.created:%Y%m%dT%H%M%S}"
