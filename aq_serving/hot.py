"""Answers of now as ready bytes: what was answered once is answered from memory.

They follow from the publication, the request and the quarter of an hour alone, so that an answer
may be given again until one of these changes. A layer before the application keeps them with all
their headers; the application makes each of them once, and its OpenAPI document describes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aq_serving.keys import ApiKeys
from aq_serving.limits import COUNTED, Counted
from aq_serving.metrics import Tally
from aq_serving.published import PublishedNow

HOT = ("/v1/latest", "/v1/stations", "/v1/category", "/v1/overview", "/v1/networks")
# What a server hands over with a request: the bytes that it began with.
HEAD = "aq.head"
MOST_BYTES = 128 * 2**20
MOST_HEADS = 4096
# Each answer with its headers takes about so much beside its body.
_OVERHEAD = 1000
# Headers by which an answer differs.
_VARIES = (b"accept", b"accept-encoding", b"origin")
# A request with one of these is none that is the same as another.
_OF_THE_BODY = {b"content-length", b"content-type", b"content-encoding"}
_PARTICULAR = {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection"}

Header = tuple[bytes, bytes]
Key = tuple[bytes, ...]


@dataclass(frozen=True)
class Kept:
    """An answer: its headers, its body, and its tag."""

    headers: tuple[Header, ...]
    body: bytes
    tag: bytes


@dataclass(frozen=True)
class ReadyResponse:
    """A response but for its status line and date.

    `counted` is whose limit the request counts against, where its bytes say so: by a key, or by
    what a proxy says of its sender. Otherwise it counts against the connection's address. Whoever
    sends it counts it in `tally`.
    """

    headers: bytes
    body: bytes
    counted: Counted | None
    tally: Tally


@dataclass
class Shelf:
    """Answers of one epoch, by request; and by the very bytes of a request, as they go out."""

    epoch: object = None
    answers: dict[Key, Kept] = field(default_factory=dict)
    by_head: dict[bytes, ReadyResponse] = field(default_factory=dict)
    size: int = 0

    def add(self, key: Key, kept: Kept) -> None:
        """Keep an answer; the oldest go where there are too many."""
        self.answers[key] = kept
        self.size += len(kept.body) + _OVERHEAD
        while self.size > MOST_BYTES and len(self.answers) > 1:
            oldest = next(iter(self.answers))
            self.size -= len(self.answers.pop(oldest).body) + _OVERHEAD
            self.by_head.clear()


class HotAnswers:
    """Answers requests for what is now from memory, and hands on all others."""

    def __init__(self, app: ASGIApp, publication: PublishedNow, keys: ApiKeys) -> None:
        """In front of an application.

        Args:
            app: Makes the answers.
            publication: What they follow from.
            keys: Those that may ask.
        """
        self._app = app
        self._keys = keys
        self._publication = publication
        self._shelf = Shelf()
        self._making: dict[Key, asyncio.Future[Kept | None]] = {}
        self._tallies: dict[tuple[str, int], Tally] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if not self._is_hot(scope):
            await self._app(scope, receive, send)
            return
        key = _key(scope)
        shelf = self.shelf
        kept = shelf.answers.get(key)
        made = kept is None and key not in self._making
        if kept is None:
            kept = await self._make(key, scope, receive, send, shelf)
            if kept is None:
                return
        status = await _send(scope, send, kept)
        # Of an answer that it made the application has counted the request.
        if not made:
            self._tally(scope, status).count += 1
        self._remember(scope, kept, shelf)

    def report(self) -> None:
        """Add the answers from memory to the metrics; of any thread."""
        for tally in list(self._tallies.values()):
            tally.report()

    @property
    def shelf(self) -> Shelf:
        """The answers that are good now."""
        # A key that is taken back must not live on in the bytes of a request.
        epoch = (self._publication.epoch, self._keys.version)
        if self._shelf.epoch != epoch:
            self._shelf = Shelf(epoch)
        return self._shelf

    def ready(self, head: bytes) -> ReadyResponse | None:
        """The response to a request of the very same bytes as an earlier one, if there is one."""
        return self.shelf.by_head.get(head)

    def _tally(self, scope: Scope, status: int) -> Tally:
        stem, dot, _ = scope["path"].partition(".")
        route = f"{stem}.{{extension}}" if dot else stem
        return self._tallies.setdefault((route, status), Tally(route, status))

    def _is_hot(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and self._publication.published is not None
            and scope["method"] in ("GET", "HEAD")
            and scope["path"].partition(".")[0] in HOT
        )

    async def _make(
        self, key: Key, scope: Scope, receive: Receive, send: Send, shelf: Shelf
    ) -> Kept | None:
        """The answer of the application; None where it has been sent already, being a refusal.

        Of requests for the same at once, the first asks and the others wait for it.
        """
        if (making := self._making.get(key)) is not None:
            kept = await asyncio.shield(making)
            if kept is not None:
                return kept
            await self._app(scope, receive, send)
            return None
        promised: asyncio.Future[Kept | None] = asyncio.get_running_loop().create_future()
        self._making[key] = promised
        # Whole and without a condition, whatever the first to ask had already.
        whole = {**scope, "method": "GET", "headers": list(_unconditional(scope["headers"]))}
        recorded = _Recorded()
        try:
            await self._app(whole, receive, recorded)
        finally:
            kept = recorded.kept
            del self._making[key]
            promised.set_result(kept)
            if kept is None:
                for message in recorded.messages:
                    await send(message)
        if kept is not None and self.shelf is shelf:
            shelf.add(key, kept)
        return kept

    def _remember(self, scope: Scope, kept: Kept, shelf: Shelf) -> None:
        """Let the server give the same bytes the same answer without asking."""
        extensions = scope.get("extensions", {})
        head = extensions.get(HEAD)
        if head is None or scope["method"] != "GET" or scope["http_version"] != "1.1":
            return
        if any(name in _PARTICULAR or name == b"if-none-match" for name, _ in scope["headers"]):
            return
        if len(shelf.by_head) >= MOST_HEADS:
            shelf.by_head.clear()
        lines = b"".join(b"%s: %s\r\n" % header for header in kept.headers)
        shelf.by_head[head] = ReadyResponse(
            lines + b"\r\n", kept.body, extensions.get(COUNTED), self._tally(scope, HTTPStatus.OK)
        )


class _Recorded:
    """What an application sends, kept in place of being sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def kept(self) -> Kept | None:
        """The answer; None where it is a refusal."""
        if not self.messages or self.messages[0]["status"] != HTTPStatus.OK:
            return None
        start = self.messages[0]
        body = b"".join(one.get("body", b"") for one in self.messages[1:])
        headers = tuple(start["headers"])
        tag = next((value for name, value in headers if name == b"etag"), b"")
        return Kept(headers, body, tag)


def _key(scope: Scope) -> Key:
    asked = dict.fromkeys(_VARIES, b"")
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            # That is all that the answer looks at.
            asked[name] = b"gzip" if b"gzip" in value else b""
        elif name in asked:
            asked[name] = value
    return (scope["path"].encode(), scope["query_string"], *asked.values())


def _unconditional(headers: Iterable[Header]) -> Iterable[Header]:
    return (header for header in headers if header[0] != b"if-none-match")


async def _send(scope: Scope, send: Send, kept: Kept) -> int:
    """Send it, or that it is known already; the status."""
    known = [value for name, value in scope["headers"] if name == b"if-none-match"]
    tags = {part.strip() for value in known for part in value.split(b",")}
    if kept.tag in tags or b"*" in tags:
        short = [header for header in kept.headers if header[0] not in _OF_THE_BODY]
        await send({"type": "http.response.start", "status": 304, "headers": short})
        await send({"type": "http.response.body", "body": b""})
        return HTTPStatus.NOT_MODIFIED
    await send({"type": "http.response.start", "status": 200, "headers": list(kept.headers)})
    body = b"" if scope["method"] == "HEAD" else kept.body
    await send({"type": "http.response.body", "body": body})
    return HTTPStatus.OK
