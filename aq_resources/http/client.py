"""HTTP towards the networks: retries that honour the server's own wait, and typed failures."""

from __future__ import annotations

import logging
import math
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar

import httpx
import msgspec
import tenacity

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http.deadline import bound_connections, ending
from aq_resources.http.inside import is_inside
from aq_resources.http.json_reader import UNDECODABLE, NotJsonError, read_json
from aq_resources.http.secrets import redact, without_secrets

# The longest a server may make us wait within one run; beyond it the run fails as transient.
MAX_WAIT_SECONDS = 120.0
# A server's own wait is taken for no longer than this, however far ahead its date may lie.
LONGEST_STATED_WAIT_SECONDS = 86_400.0
MAX_REDIRECTS = 5
# A request with all its tries, waits and the last byte of its answer ends after so many time-outs:
# a server that sends a byte now and then never meets the time-out itself.
DEADLINE_TIMEOUTS = 20
# Of an answer, unpacked: a few megabytes of gzip can become all of the memory.
MAX_BODY_BYTES = 256 * 1024 * 1024
# Servers close a connection that has been idle for five seconds (uvicorn, Node.js) or longer. One
# that closes while we write costs a try; so we are the first to let go.
IDLE_SECONDS = 2.0
_RETRIED = frozenset({408, 425, 429}) | frozenset(range(500, 600))
# What to do about a refusal, which no retry changes, in the network's own terms.
RefusalHint = Callable[[httpx.Response], str]
# Called with each request right before it is sent: repeats and redirects included.
OnRequest = Callable[[httpx.Request], None]
# Seconds that an answer asks to be left alone for; None where it does not say.
AskedWait = Callable[[httpx.Response], float | None]

Item = TypeVar("Item")
Result = TypeVar("Result")


class BrokenAnswer(TransientFailure):
    """A 200 whose body is cut off or not of the expected kind; `response` holds it."""

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message)
        self.response = response


class RefusedRequest(PermanentFailure):
    """A status that a retry will not change; `response` holds what the server said."""

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message)
        self.response = response


@cache
def trusted() -> ssl.SSLContext:
    """The certificates trusted, read once a process: 40 ms, which every client would pay."""
    return httpx.create_ssl_context()


class HttpClient:
    """One network's connection pool with retries."""

    def __init__(
        self,
        network: str,
        *,
        timeout: float = 30.0,
        attempts: int = 5,
        auth: httpx.Auth | None = None,
        refusal_hint: RefusalHint | None = None,
        headers: dict[str, str] | None = None,
        backoff_seconds: float = 1.0,
        on_request: OnRequest | None = None,
        asked_wait: AskedWait | None = None,
        deadline: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """Opens no connection yet.

        Args:
            network: What messages call the network.
            timeout: Seconds that one request may take.
            attempts: Tries at one request.
            auth: Puts credentials into each request.
            refusal_hint: What to do about a refusal, for its message.
            headers: Sent to the network's own host only.
            backoff_seconds: The first wait between tries; it doubles.
            on_request: Called right before each request is sent.
            asked_wait: The wait in seconds that a refusal for load states in its body, for servers
                that send no Retry-After.
            deadline: Seconds after which a request ends with all its tries; by default
                `DEADLINE_TIMEOUTS` time-outs.
            max_bytes: The largest answer, unpacked.

        Raises:
            SettingsError: the environment names a proxy by what is no address.
        """
        self.network = network
        self._refusal_hint = refusal_hint or (lambda response: "")
        self._asked_wait = asked_wait or (lambda response: None)
        self._own_headers = headers or {}
        self._deadline = DEADLINE_TIMEOUTS * timeout if deadline is None else deadline
        self._max_bytes = max_bytes
        # By the monotonic clock: when an answer last came, and when the last request began that
        # got none.
        self._last_success = self._last_failure_start = -math.inf
        self._client = self._new_client(timeout, auth, on_request)
        self._retrying = self._new_retrying(attempts, backoff_seconds)

    def _new_client(
        self, timeout: float, auth: httpx.Auth | None, on_request: OnRequest | None
    ) -> httpx.Client:
        try:
            return httpx.Client(
                verify=trusted(),
                timeout=timeout,
                auth=auth,
                headers={
                    "User-Agent": "aq-platform (air-quality data platform)",
                    **self._own_headers,
                },
                event_hooks={"request": [on_request]} if on_request else None,
                limits=httpx.Limits(
                    max_connections=100,
                    max_keepalive_connections=20,
                    keepalive_expiry=IDLE_SECONDS,
                ),
                # What a server would have us remember belongs to no later question.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        except (httpx.InvalidURL, ValueError):
            # Its text repeats parts of the address, which may hold a password.
            raise SettingsError(
                "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is no address of a proxy: write "
                "http://user:password@host:port, with special characters in the password as %2F "
                "and the like."
            ) from None

    def _new_retrying(self, attempts: int, backoff_seconds: float) -> tenacity.Retrying:
        backoff = tenacity.wait_exponential(
            multiplier=backoff_seconds, max=30.0
        ) + tenacity.wait_random(0, backoff_seconds)

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            asked = getattr(failure, "retry_after", None)
            return float(asked) if asked is not None else backoff(state)

        def enough(state: tenacity.RetryCallState) -> bool:
            # Where no answer has come since, the network is down: hundreds of requests need not
            # each find that out by all their tries.
            down = self._last_failure_start > self._last_success
            spent = (state.seconds_since_start or 0.0) + state.upcoming_sleep
            return state.attempt_number >= (1 if down else attempts) or spent >= self._deadline

        return tenacity.Retrying(
            stop=enough,
            wait=wait,
            retry=tenacity.retry_if_exception(_is_worth_waiting),
            reraise=True,
        )

    def get(
        self,
        url: str,
        params: dict[str, str] | None = None,
        check: Callable[[httpx.Response], str | None] | None = None,
    ) -> httpx.Response:
        """GET with retries. While no answer comes, other requests are tried once.

        Args:
            url: Address without the query.
            params: The query.
            check: Says what is wrong with the body of a 200 that another try may replace; None
                where it is whole.

        Returns:
            A 200, redirects followed and secrets removed.

        Raises:
            TransientFailure: the tries are used up.
            RefusedRequest: at once, for a status that a retry does not change.
        """
        return self._with_retries("GET", url, params, None, check)

    def post(
        self,
        url: str,
        json: object,
        check: Callable[[httpx.Response], str | None] | None = None,
    ) -> httpx.Response:
        """POST with retries, for questions too long for an address.

        Args:
            url: Address.
            json: What is asked, sent as JSON.
            check: As for `get`.

        Returns:
            As `get`.

        Raises:
            TransientFailure: as for `get`.
            RefusedRequest: as for `get`.
        """
        return self._with_retries("POST", url, None, json, check)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _with_retries(
        self,
        method: str,
        url: str,
        params: dict[str, str] | None,
        json: object,
        check: Callable[[httpx.Response], str | None] | None,
    ) -> httpx.Response:
        began = time.monotonic()
        try:
            return self._retrying(
                self._try_once, method, url, params, json, check, began + self._deadline
            )
        except TransientFailure:
            self._last_failure_start = max(self._last_failure_start, began)
            raise

    def _try_once(
        self,
        method: str,
        url: str,
        params: dict[str, str] | None,
        json: object,
        check: Callable[[httpx.Response], str | None] | None,
        until: float,
    ) -> httpx.Response:
        request = self._client.build_request(
            method, url, params=params, json=json, extensions={"trace": bound_connections}
        )
        try:
            with ending(until):
                response = self._send(request)
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
            self._last_success = time.monotonic()
            said = f"{self.network} answered {response.status_code} to {method} {url}."
            raise RefusedRequest(f"{said} {self._refusal_hint(response)}".rstrip(), response)
        if check is not None and (problem := check(response)) is not None:
            raise BrokenAnswer(
                f"{self.network} sent a broken answer to {method} {url}: {problem}", response
            )
        self._last_success = time.monotonic()
        return response

    def _send(self, request: httpx.Request) -> httpx.Response:
        """The answer, redirects followed: secrets go to the host that was asked, and no other.

        A secret that the answer repeats is removed before anyone sees it.
        """
        home = request
        response = self._receive(request)
        for _ in range(MAX_REDIRECTS):
            following = response.next_request
            if following is None:
                break
            self._refuse_inside(home, following)
            if _origin(following) == _origin(home):
                response = self._receive(following)
            else:
                response = self._receive(self._for_another_host(following), auth=None)
        cleaned = _clean(response)
        # JSON and CSV are UTF-8 whatever the header says; some names of charsets even raise.
        cleaned.encoding = "utf-8"
        return cleaned

    def _receive(self, request: httpx.Request, **options: httpx.Auth | None) -> httpx.Response:
        """One answer with its body, which may not be endless in size."""
        response = self._client.send(request, stream=True, **options)  # type: ignore[arg-type]
        parts, size = [], 0
        try:
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > self._max_bytes:
                    raise PermanentFailure(
                        f"{self.network} sent more than {self._max_bytes / 1e6:,.0f} MB to "
                        f"{request.method} {request.url.copy_with(query=None)}: nothing that was "
                        "asked for is so large. Its form may be new."
                    )
        finally:
            response.close()
        whole = _with_content(response, b"".join(parts))
        whole.next_request = response.next_request
        return whole

    def _refuse_inside(self, home: httpx.Request, following: httpx.Request) -> None:
        """Follow no one into this machine or its network, unless the network itself is there."""
        if is_inside(following.url.host) and not is_inside(home.url.host):
            raise PermanentFailure(
                f"{self.network} sends {home.method} {home.url.copy_with(query=None)} on to "
                f"{following.url.host}, which is this machine or its own network. Nothing was "
                "asked there. Correct the network's address if that is where it is."
            )

    def _for_another_host(self, request: httpx.Request) -> httpx.Request:
        """The request without the secrets that are meant for the network's own host."""
        request.url = httpx.URL(without_secrets(str(request.url)))
        for name in self._own_headers:
            request.headers.pop(name, None)
        return request

    def _wait_after(self, response: httpx.Response) -> float | None:
        in_body = self._asked_wait(response)
        in_header = retry_after_seconds(response.headers.get("Retry-After"))
        stated = in_header if in_body is None else in_body
        return None if stated is None else min(stated, LONGEST_STATED_WAIT_SECONDS)


def _is_worth_waiting(failure: BaseException) -> bool:
    if not isinstance(failure, TransientFailure):
        return False
    return (failure.retry_after or 0.0) <= MAX_WAIT_SECONDS


def _origin(request: httpx.Request) -> tuple[str, bytes]:
    return request.url.scheme, request.url.netloc


def _clean(response: httpx.Response) -> httpx.Response:
    content = redact(response.content)
    return response if content == response.content else _with_content(response, content)


def _with_content(response: httpx.Response, content: bytes) -> httpx.Response:
    """The response with this body, unpacked."""
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


def invalid_body_reason(response: httpx.Response) -> str | None:
    """What is wrong with a body that should be JSON; None where it is whole.

    Only what another try may replace: a whole body with bad values or records is kept and counted.
    """
    try:
        _check_form(response.content)
    except NotJsonError as error:
        start = response.text.lstrip()[:40]
        if start.startswith("<"):
            return f"HTML instead of JSON ({start!r}…)"
        return f"not whole JSON ({error})" if start else "an empty body"
    return None


def _check_form(content: bytes) -> None:
    try:
        # Reads nothing, so it takes a tenth of the time.
        msgspec.json.decode(content, type=msgspec.Raw)
    except UNDECODABLE:
        read_json(content)


def retry_after_seconds(header: str | None) -> float | None:
    """Seconds to wait by a Retry-After header: a number, or an HTTP date (RFC 9110, 10.2.3).

    None where it is neither, such as a date that no calendar has.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
            if at.tzinfo is None:
                at = at.replace(tzinfo=UTC)
            # The server's date is a real-world instant: only the real clock can be held against it.
            seconds = (at - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def concurrently(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Results in the order of the items, with at most twice `workers` held at any time.

    Args:
        work: Called with each item, in a thread.
        items: Taken as the results are.
        workers: Calls under way at once.

    Returns:
        The results, as they are ready in order.
    """
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
