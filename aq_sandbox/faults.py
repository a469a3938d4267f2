"""Faults on demand: what a network does on a bad day, and a log of whom it happened to.

A fault is a rule over the coming requests. The middleware asks the switch for each one, and serves
what the fault says in place of, or out of, the answer that the network would have given.
"""

import asyncio
import gzip
import threading
from collections import Counter, deque
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aq_sandbox.clock import SandboxClock

CONTROL_PREFIX = "/_sandbox/"
REQUESTS_KEPT = 10_000

Kind = Literal["status", "timeout", "truncate", "disconnect", "html", "empty", "body", "schema"]

_HTML = """<!DOCTYPE html>
<html><head><title>Down for maintenance</title></head>
<body><h1>We will be back soon</h1></body></html>
"""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule.

    `times` requests are hit (None: until cleared), a `share` of those that match, evenly spread.
    `status` and `retry_after` serve kind "status"; `delay` is a timeout's seconds before the true
    answer; `body` is kind "body"'s text. Kind "schema" serves the true answer with the fields named
    by `rename` under their new names, every field with `_v2` behind it where none is named.
    """

    kind: Kind
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 503
    retry_after: float | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    path_contains: str = ""
    delay: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    body: str = ""
    rename: dict[str, str] = {}


class _ActiveFault:
    """A fault with its count of requests seen and hit."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.hits = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times

    def strikes(self, path: str) -> bool:
        if self.fault.path_contains not in path:
            return False
        self.seen += 1
        # Hits keep pace with the share of requests seen; the margin absorbs binary fractions.
        if self.hits >= int(self.seen * self.fault.share + 1e-9):
            return False
        self.hits += 1
        return True


class FaultSwitch:
    """The faults in force, oldest first: a request is hit by the first that strikes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[_ActiveFault] = []
        self.released = threading.Event()
        """Set when the server stops: no timeout is waited out after that."""

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._active.append(_ActiveFault(fault))

    def clear(self) -> None:
        with self._lock:
            self._active.clear()

    def active(self) -> list[Fault]:
        with self._lock:
            return [one.fault for one in self._active]

    def strike(self, path: str) -> Fault | None:
        """The fault that hits this request, if any; counts it."""
        with self._lock:
            for one in self._active:
                if one.strikes(path):
                    self._active = [other for other in self._active if not other.spent]
                    return one.fault
        return None


class ServedRequest(msgspec.Struct, frozen=True):
    """One request as it came. `time` is the sandbox's clock, `received_at` the real one."""

    method: str
    path: str
    query: str
    time: datetime
    received_at: datetime
    fault: Kind | None


class RequestLog:
    """The last requests, oldest first, and how many there were in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[ServedRequest] = deque(maxlen=REQUESTS_KEPT)
        self._total = 0

    def add(self, request: ServedRequest) -> None:
        with self._lock:
            self._kept.append(request)
            self._total += 1

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._total = 0

    def kept(self) -> list[ServedRequest]:
        with self._lock:
            return list(self._kept)

    def summary(self) -> dict[str, object]:
        kept = self.kept()
        return {
            "total": self._total,
            "by_path": Counter(one.path for one in kept),
            "faults": sum(one.fault is not None for one in kept),
            "requests": kept,
        }


class FaultMiddleware:
    """Logs every request to a network and lets faults strike; the control paths are left alone."""

    def __init__(
        self, app: ASGIApp, faults: FaultSwitch, requests: RequestLog, clock: SandboxClock
    ) -> None:
        self._app = app
        self._faults = faults
        self._requests = requests
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        fault = self._faults.strike(scope["path"])
        self._requests.add(
            ServedRequest(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                time=self._clock.now(),
                received_at=datetime.now(UTC),
                fault=None if fault is None else fault.kind,
            )
        )
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.kind == "timeout":
            await self._wait(fault.delay)
            await self._app(scope, receive, send)
        elif fault.kind in ("truncate", "disconnect"):
            await self._send_half(fault, scope, receive, send)
        elif fault.kind == "schema":
            await self._send_renamed(fault, scope, receive, send)
        else:
            await _stand_in(fault)(scope, receive, send)

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        # In short steps: the flag is another thread's, and the server must stop promptly.
        while not self._faults.released.is_set() and (left := until - loop.time()) > 0:
            await asyncio.sleep(min(0.05, left))

    async def _send_half(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await self._true_answer(scope, receive)
        half = body[: len(body) // 2]
        # A disconnect promises the whole length and stops short; a truncated answer is sound HTTP.
        cut_off = fault.kind == "disconnect"
        promised = len(body) if cut_off else len(half)
        await send(_with_length(start, promised))
        await send({"type": "http.response.body", "body": half, "more_body": cut_off})

    async def _send_renamed(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await self._true_answer(scope, receive)
        renamed = _renamed(body, fault.rename)
        await send(_with_length(start, len(renamed)))
        await send({"type": "http.response.body", "body": renamed})

    async def _true_answer(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """What the network would have sent: the start of its answer, and the body."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        start, *parts = messages
        return start, b"".join(part.get("body", b"") for part in parts)


def _with_length(start: Message, length: int) -> Message:
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    return {**start, "headers": [*headers, (b"content-length", str(length).encode())]}


def _renamed(body: bytes, names: dict[str, str]) -> bytes:
    """JSON, or a packed CSV file, with other names for its fields; anything else as it is."""
    if body.startswith(b"\x1f\x8b"):
        header, end, rows = gzip.decompress(body).decode().partition("\r\n")
        columns = (name.strip('"') for name in header.split(","))
        header = ",".join(f'"{_new_name(name, names)}"' for name in columns)
        return gzip.compress((header + end + rows).encode(), mtime=0)

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {_new_name(name, names): rename(one) for name, one in value.items()}
        return [rename(one) for one in value] if isinstance(value, list) else value

    try:
        return msgspec.json.encode(rename(msgspec.json.decode(body)))
    except msgspec.DecodeError:
        return body


def _new_name(name: str, names: dict[str, str]) -> str:
    return names.get(name, name) if names else f"{name}_v2"


def _stand_in(fault: Fault) -> Response:
    """The answer of something that is not the network's code: a proxy, a broken deployment."""
    match fault.kind:
        case "status":
            retry = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            body = msgspec.json.encode({"error": f"sandbox fault {fault.status}"})
            return Response(body, fault.status, retry, "application/json")
        case "html":
            return Response(_HTML, media_type="text/html")
        case "empty":
            return Response(b"", media_type="application/json")
        case _:
            return Response(fault.body, media_type="application/json")
