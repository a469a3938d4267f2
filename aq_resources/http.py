"""HTTP towards the networks: retries that honour the server's own wait, and typed failures."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
import msgspec
import tenacity

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.secrets import strike_out, without_secrets

# The longest a server may make us wait within one run; beyond it the run fails as transient.
MAX_WAIT_SECONDS = 120.0
MAX_REDIRECTS = 5
_RETRIED = frozenset({408, 425, 429}) | frozenset(range(500, 600))
# What a retry cannot mend and the caller must explain in the network's own terms.
Explain = Callable[[httpx.Response], str]
# Called with each request right before it is sent: repeats and redirects included.
OnRequest = Callable[[httpx.Request], None]
# Seconds that an answer asks to be left alone for; None where it does not say.
AskedWait = Callable[[httpx.Response], float | None]

Item = TypeVar("Item")
Result = TypeVar("Result")


class BrokenAnswer(TransientFailure):
    """A 200 whose body is cut off or is not what the endpoint speaks; ``response`` holds it."""

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message)
        self.response = response


class RefusedRequest(PermanentFailure):
    """A status that a retry will not change; ``response`` holds what the server said."""

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message)
        self.response = response


class HttpClient:
    """One network's connection pool with retries."""

    def __init__(
        self,
        network: str,
        *,
        timeout: float = 30.0,
        attempts: int = 5,
        auth: httpx.Auth | None = None,
        explain: Explain | None = None,
        headers: dict[str, str] | None = None,
        backoff_seconds: float = 1.0,
        on_request: OnRequest | None = None,
        asked_wait: AskedWait | None = None,
    ) -> None:
        """``asked_wait``: the wait in seconds that a refusal for load states in its body, for
        servers that send no Retry-After.
        """
        self.network = network
        self._explain = explain or (lambda response: "")
        self._asked_wait = asked_wait or (lambda response: None)
        self._own_headers = headers or {}
        self._client = httpx.Client(
            timeout=timeout,
            auth=auth,
            headers={"User-Agent": "aq-platform (air-quality data platform)", **self._own_headers},
            event_hooks={"request": [on_request]} if on_request else None,
        )
        backoff = tenacity.wait_exponential(
            multiplier=backoff_seconds, max=30.0
        ) + tenacity.wait_random(0, backoff_seconds)

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            asked = getattr(failure, "retry_after", None)
            return float(asked) if asked is not None else backoff(state)

        def worth_waiting(failure: BaseException) -> bool:
            if not isinstance(failure, TransientFailure):
                return False
            return (failure.retry_after or 0.0) <= MAX_WAIT_SECONDS

        # When anything last came through, and when the last request began that nothing came of.
        self._came_through = self._in_vain = -math.inf

        def enough(state: tenacity.RetryCallState) -> bool:
            # Where nothing has come through since, the network is down: hundreds of requests need
            # not each find that out by all their tries.
            return state.attempt_number >= (1 if self._in_vain > self._came_through else attempts)

        self._retrying = tenacity.Retrying(
            stop=enough,
            wait=wait,
            retry=tenacity.retry_if_exception(worth_waiting),
            reraise=True,
        )

    def get(
        self,
        url: str,
        params: dict[str, str] | None = None,
        check: Callable[[httpx.Response], str | None] | None = None,
    ) -> httpx.Response:
        """GET with retries. ``check`` returns what is wrong with a 200's body, or None.

        Raises `TransientFailure` once the tries are used up, `RefusedRequest` at once for what a
        retry cannot mend. While nothing comes through, other requests are tried once.
        """
        return self._tried("GET", url, params, None, check)

    def post(
        self,
        url: str,
        json: object,
        check: Callable[[httpx.Response], str | None] | None = None,
    ) -> httpx.Response:
        """POST ``json`` as `get` gets, for questions too long for an address."""
        return self._tried("POST", url, None, json, check)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _tried(
        self,
        method: str,
        url: str,
        params: dict[str, str] | None,
        json: object,
        check: Callable[[httpx.Response], str | None] | None,
    ) -> httpx.Response:
        began = time.monotonic()
        try:
            return self._retrying(self._once, method, url, params, json, check)
        except TransientFailure:
            self._in_vain = max(self._in_vain, began)
            raise

    def _once(
        self,
        method: str,
        url: str,
        params: dict[str, str] | None,
        json: object,
        check: Callable[[httpx.Response], str | None] | None,
    ) -> httpx.Response:
        try:
            response = self._send(self._client.build_request(method, url, params=params, json=json))
        except httpx.TimeoutException as error:
            raise TransientFailure(
                f"{self.network} did not answer in time: {method} {url}"
            ) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise TransientFailure(
                f"{self.network} cannot be reached: {method} {url}: {error or type(error).__name__}"
            ) from error
        if response.status_code in _RETRIED:
            raise TransientFailure(
                f"{self.network} answered {response.status_code} to {method} {url}",
                retry_after=self._wait_after(response),
                status=response.status_code,
            )
        if response.status_code != httpx.codes.OK:
            self._came_through = time.monotonic()
            said = f"{self.network} answered {response.status_code} to {method} {url}."
            raise RefusedRequest(f"{said} {self._explain(response)}".rstrip(), response)
        if check is not None and (problem := check(response)) is not None:
            raise BrokenAnswer(
                f"{self.network} sent a broken answer to {method} {url}: {problem}", response
            )
        self._came_through = time.monotonic()
        return response

    def _send(self, request: httpx.Request) -> httpx.Response:
        """The answer, redirects followed: secrets go to the host that was asked, and no other.

        A secret that the answer repeats is struck out before anybody sees it.
        """
        home = _origin(request)
        response = self._client.send(request)
        for _ in range(MAX_REDIRECTS):
            following = response.next_request
            if following is None:
                break
            if _origin(following) == home:
                response = self._client.send(following)
            else:
                response = self._client.send(self._stranger(following), auth=None)
        return _clean(response)

    def _stranger(self, request: httpx.Request) -> httpx.Request:
        """The request as a host may see it that was not asked."""
        request.url = httpx.URL(without_secrets(str(request.url)))
        for name in self._own_headers:
            request.headers.pop(name, None)
        return request

    def _wait_after(self, response: httpx.Response) -> float | None:
        in_body = self._asked_wait(response)
        in_header = retry_after_seconds(response.headers.get("Retry-After"))
        return in_header if in_body is None else in_body


def _origin(request: httpx.Request) -> tuple[str, bytes]:
    return request.url.scheme, request.url.netloc


def _clean(response: httpx.Response) -> httpx.Response:
    content = strike_out(response.content)
    if content == response.content:
        return response
    packing = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [pair for pair in response.headers.multi_items() if pair[0] not in packing]
    return httpx.Response(
        response.status_code, headers=headers, content=content, request=response.request
    )


def _clean_record(record: logging.LogRecord) -> bool:
    """Httpx logs the address of every request, query included."""
    if isinstance(record.args, tuple):
        texts = ((arg, str(arg)) for arg in record.args)
        record.args = tuple(
            arg if (clean := without_secrets(text)) == text else clean for arg, text in texts
        )
    return True


logging.getLogger("httpx").addFilter(_clean_record)


def broken_json(response: httpx.Response) -> str | None:
    """What is wrong with a body that should be JSON; None where it is whole.

    Only what asking again may mend: a whole body with bad records is kept and counted.
    """
    try:
        msgspec.json.decode(response.content, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        start = response.text.lstrip()[:40]
        if start.startswith("<"):
            return f"HTML instead of JSON ({start!r}…)"
        return f"not whole JSON ({error})" if start else "an empty body"
    return None


def retry_after_seconds(header: str | None) -> float | None:
    """Seconds to wait by a Retry-After header: a number, or an HTTP date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    # The server's date is a real-world instant, so only the real clock can be held against it.
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def concurrently(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Results in the order of ``items``, with at most twice ``workers`` held at any time."""
    with ThreadPoolExecutor(workers, thread_name_prefix="pull") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
