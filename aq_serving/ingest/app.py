"""The application that devices push to.

Plain ASGI: what a reading costs is what this costs, and there is one thing to do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aq_resources.device_keys import DeviceKey, DeviceKeys
from aq_resources.spool.writer import SpoolFull, SpoolUnavailable
from aq_serving.ingest.committer import Committer
from aq_serving.ingest.document import PATH, document
from aq_serving.ingest.intake import batch_of, frames_of, limits_of, microseconds
from aq_serving.ingest.limits import Room
from aq_serving.ingest.messages import SECOND_US, Batch, RefusedMessage, TooManyMessages
from aq_serving.ingest.settings import IngestSettings
from aq_serving.limits import SharedRates, sender_of
from aq_serving.problems import ProblemError, problem_response

_FORMS = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
}
# Longest time for a body to arrive.
_BODY_SECONDS = 30.0
_KEYS_SECONDS = 1.0
_RETRY_FULL = "30"

_LOG = logging.getLogger("aq.ingest")
_encode_json = msgspec.json.Encoder().encode


class Ingest:
    """What the requests of one process share."""

    def __init__(
        self,
        settings: IngestSettings,
        keys: DeviceKeys,
        committer: Committer,
        room: Room,
        late_days: int,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens nothing.

        Args:
            settings: Limits.
            keys: Who may write.
            committer: Makes readings durable.
            room: Whether there is any.
            late_days: Readings older than this are refused.
            now: The clock that stamps are compared with.
            monotonic: Seconds that only go forward.
        """
        self._settings, self._keys, self._committer, self._room = settings, keys, committer, room
        self._limits = limits_of(settings, late_days)
        self._now, self._monotonic = now, monotonic
        self._rates = SharedRates.of_server()
        self._keys_read_at = float("-inf")

    @property
    def most_messages(self) -> int:
        """How many one request may bring."""
        return self._limits.messages

    async def push(self, request: Request) -> Response:
        """Take one reading or many: 202 once they are on disk."""
        name, key = self.authorise(request, "write")
        rate = key.rate or self._settings.readings_per_second
        slot = self._rates.slot(f"key {name}")
        if wait := self._rates.ahead(slot):
            raise _slow_down("This key sends more than it may", math.ceil(wait))
        if reason := self._room.reason_to_wait():
            raise _slow_down(f"Nothing can be taken just now: {reason}", self._room.wait_seconds)
        form = _form_of(request)
        held = [0]
        try:
            body = await self._body(request, held)
            received = microseconds(self._now())
            wrong_clock = self._wrong_clock(request, received)
            batch = batch_of(body, form, received, self._limits, wrong_clock)
            _keep_to(key, batch)
            # A body without any message counts as one.
            self._rates.count(slot, rate, max(1, batch.messages))
            await self._committer.commit(frames_of(batch, name, key.fleet, received))
        except TooManyMessages as error:
            self._rates.count(slot, rate, self._limits.messages)
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{error}.") from None
        except SpoolFull as failure:
            _LOG.error("%s", failure.message)
            raise ProblemError(
                HTTPStatus.INSUFFICIENT_STORAGE,
                "There is no room: nothing of this request counts as taken. Send it again later.",
                headers={"Retry-After": _RETRY_FULL},
            ) from None
        except SpoolUnavailable as failure:
            _LOG.error("%s", failure.message)
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The readings cannot be stored: nothing of this request counts as taken. Send it "
                "again later.",
                headers={"Retry-After": _RETRY_FULL},
            ) from None
        finally:
            self._room.under_way -= held[0]
        return _answer(batch)

    def authorise(self, request: Request, right: str) -> tuple[str, DeviceKey]:
        """Who asks, by the key in `Authorization: Bearer` or `X-API-Key`.

        Args:
            request: The request; a fleet in its path must be the key's.
            right: `read` or `write`.

        Returns:
            The key's id, and the key.

        Raises:
            ProblemError: 401 without a known key, 403 where it is for something else, 429 where
                its address asks too often.
        """
        if self._monotonic() - self._keys_read_at >= _KEYS_SECONDS:
            self._keys.refresh()
            self._keys_read_at = self._monotonic()
        self._count_address(request)
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            presented = request.headers.get("x-api-key", "")
        found = self._keys.find(presented.strip())
        if found is None:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "Send the device's key as Authorization: Bearer aqd_… or as X-API-Key.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        key = found[1]
        if not getattr(key, right):
            raise ProblemError(HTTPStatus.FORBIDDEN, f"This key may not {right}.")
        if request.path_params.get("fleet", key.fleet) != key.fleet:
            raise ProblemError(HTTPStatus.FORBIDDEN, "This key is for another fleet.")
        return found

    def _count_address(self, request: Request) -> None:
        rate = self._settings.address_rate
        if rate and request.client is not None:
            slot = self._rates.slot(sender_of(request.client.host))
            if wait := self._rates.wait(slot, rate):
                raise _slow_down("This address sends more requests than it may", math.ceil(wait))

    async def _body(self, request: Request, held: list[int]) -> bytes:
        """The body, counted among what is under way, and in `held`."""
        most = self._settings.body_bytes
        too_long = ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body is longer than {most} bytes: send fewer readings at once.",
        )
        if _declared_length(request) > most:
            raise too_long
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for part in request.stream():
                    parts.append(part)
                    held[0] += len(part)
                    self._room.under_way += len(part)
                    if held[0] > most:
                        raise too_long
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT, f"The body took longer than {_BODY_SECONDS:g} s."
            ) from None
        except ClientDisconnect:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "The body ended early.") from None
        return b"".join(parts)

    def _wrong_clock(self, request: Request, received: int) -> RefusedMessage | None:
        """Why no stamp of a device can be right by its own word: None where they can.

        `Date` is when the request was made by the device's clock, so that a wrong clock and
        readings that come late are not confused.
        """
        stated = request.headers.get("date")
        if stated is None:
            return None
        try:
            said = datetime.strptime(stated, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        except ValueError:
            return None
        off = microseconds(said) - received
        if abs(off) <= self._limits.ahead:
            return None
        which = "clock_ahead" if off > 0 else "clock_behind"
        seconds = abs(off) // SECOND_US
        return RefusedMessage("timestamp", f"{which}: Date is {seconds} s off; set the clock")


def create_app(ingest: Ingest, routes: list[Route], close: Callable[[], Awaitable[None]]) -> Any:
    """The application.

    Args:
        ingest: What its requests share.
        routes: Further resources.
        close: Called at the end.

    Returns:
        An ASGI application.
    """
    described = document(ingest.most_messages)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    return Starlette(
        routes=[
            Route("/v1/readings", ingest.push, methods=["POST"]),
            Route("/v1/fleets/{fleet}/readings", ingest.push, methods=["POST"]),
            Route("/healthz", healthz),
            Route(PATH, openapi),
            *routes,
        ],
        exception_handlers={
            ProblemError: _problem,
            HTTPException: _refused,
            Exception: _defect,
        },
        lifespan=_closing(close),
    )


def _closing(close: Callable[[], Awaitable[None]]) -> Any:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await close()

    return lifespan


def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for it
    return error.response()


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return problem_response(error.status_code, str(error.detail), headers=error.headers)


def _defect(request: Request, error: Exception) -> Response:
    _LOG.error("%s", request.url.path, exc_info=error)
    return problem_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "That is a defect of the server, whose log has the reason. Nothing counts as taken.",
    )


def _slow_down(reason: str, seconds: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{reason}. Send it again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )


def _form_of(request: Request) -> str:
    kind = request.headers.get("content-type", "application/json").partition(";")[0]
    form = _FORMS.get(kind.strip().lower())
    if form is None:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send application/json, application/x-ndjson or application/msgpack, not {kind!r}.",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body uncompressed.")
    return form


def _declared_length(request: Request) -> int:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isascii() and stated.isdigit() else 0


def _keep_to(key: DeviceKey, batch: Batch) -> None:
    """Refuse what a key for some devices brings of others."""
    if key.devices is None or not batch.device:
        return
    if all(map(key.covers, set(batch.device))):
        return
    raise ProblemError(
        HTTPStatus.FORBIDDEN, "This key is for other devices: nothing of the request was taken."
    )


def _answer(batch: Batch) -> Response:
    content: dict[str, Any] = {"accepted": batch.accepted}
    status = HTTPStatus.ACCEPTED
    if batch.refused:
        status = HTTPStatus.MULTI_STATUS if batch.accepted else HTTPStatus.UNPROCESSABLE_ENTITY
        content["refused"] = [
            {"index": index, "field": name, "reason": reason}
            for index, name, reason, _ in batch.refused
        ]
    return Response(_encode_json(content), status, media_type="application/json")
