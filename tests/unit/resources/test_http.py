"""HTTP: what is tried again, how long is waited, what is never asked twice; on a real server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import tenacity

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import (
    LONGEST_STATED_WAIT_SECONDS,
    MAX_WAIT_SECONDS,
    BrokenAnswer,
    HttpClient,
    RefusedRequest,
    concurrently,
    invalid_body_reason,
    retry_after_seconds,
)
from aq_sandbox.server import RunningSandbox
from tests.patience import PATIENCE_S

PATH = "/api/station"


@contextmanager
def client(**settings: Any) -> Iterator[HttpClient]:
    opened = HttpClient("Somewhere", **{"attempts": 3, "backoff_seconds": 0.001, **settings})
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which are noted in place of being waited."""
    noted: list[float] = []
    real = tenacity.Retrying.__init__

    def patched(self: tenacity.Retrying, *args: Any, **settings: Any) -> None:
        real(self, *args, **{**settings, "sleep": noted.append})

    monkeypatch.setattr(tenacity.Retrying, "__init__", patched)
    return noted


def is_list(response: httpx.Response) -> str | None:
    try:
        return None if isinstance(response.json(), list) else "no list"
    except ValueError:
        return f"no JSON: {response.text[:20]!r}"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 408},
        {"kind": "status", "status": 425},
        {"kind": "status", "status": 429},
        {"kind": "status", "status": 429, "retry_after": 0.01},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503},
        {"kind": "disconnect"},
        {"kind": "truncate"},
        {"kind": "html"},
        {"kind": "empty"},
        {"kind": "body", "body": '{"error": "maintenance"}'},
    ],
    ids=lambda fault: "-".join(str(v) for v in list(fault.values())[:2]),
)
class TestPassingTrouble:
    def test_is_got_over(self, sandbox: RunningSandbox, fault: dict) -> None:
        sandbox.inject(**fault, times=2)
        with client() as http:
            assert is_list(http.get(sandbox.url + PATH, check=is_list)) is None
        assert len(sandbox.requests()) == 3

    def test_that_lasts_is_a_transient_failure_after_the_last_try(
        self, sandbox: RunningSandbox, fault: dict
    ) -> None:
        sandbox.inject(**fault)
        with client() as http, pytest.raises(TransientFailure) as raised:
            http.get(sandbox.url + PATH, {"key": "hunter2"}, check=is_list)
        assert len(sandbox.requests()) == 3
        assert "Somewhere" in raised.value.message
        assert sandbox.url + PATH in raised.value.message
        assert "hunter2" not in raised.value.message
        assert raised.value.allow_retries is True


def test_time_out_is_got_over_and_told_when_it_lasts(sandbox: RunningSandbox) -> None:
    sandbox.inject(kind="timeout", delay=60, times=1)
    with client(timeout=3.0) as http:
        assert http.get(sandbox.url + PATH).status_code == 200
        sandbox.inject(kind="timeout", delay=60)
        with pytest.raises(TransientFailure, match="did not answer in time"):
            http.get(sandbox.url + PATH)
    assert len(sandbox.requests()) == 5


def test_while_nothing_comes_through_requests_are_tried_once(sandbox: RunningSandbox) -> None:
    sandbox.inject(kind="status", status=503)
    with client() as http:
        for _ in range(3):
            with pytest.raises(TransientFailure):
                http.get(sandbox.url + PATH)
        assert len(sandbox.requests()) == 3 + 1 + 1
        sandbox.clear()
        http.get(sandbox.url + PATH)
        # It is up again: what fails now has all its tries.
        sandbox.reset()
        sandbox.inject(kind="status", status=503, times=2)
        http.get(sandbox.url + PATH)
        assert len(sandbox.requests()) == 3


def test_one_sick_path_does_not_make_the_network_a_dead_one(sandbox: RunningSandbox) -> None:
    sandbox.inject(kind="status", status=503, path_contains="countries")
    with client() as http:
        asked = ["/v3/countries", PATH] * 3

        def ask(path: str) -> bool:
            try:
                return http.get(sandbox.url + path).status_code == 200
            except TransientFailure:
                return False

        assert list(concurrently(ask, asked, 2)) == [False, True] * 3


def test_nobody_listening_is_transient() -> None:
    with client() as http, pytest.raises(TransientFailure, match="cannot be reached"):
        http.get("http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("kind", "body"), [("truncate", None), ("html", None), ("empty", None), ("body", "{}")]
)
def test_broken_answer_is_handed_over_with_the_failure(
    sandbox: RunningSandbox, kind: str, body: str | None
) -> None:
    sandbox.inject(kind=kind, **({} if body is None else {"body": body}))
    with client() as http, pytest.raises(BrokenAnswer) as raised:
        http.get(sandbox.url + PATH, check=is_list)
    response = raised.value.response
    assert response.status_code == 200
    said = is_list(response)
    assert said is not None
    assert said in raised.value.message


def test_without_a_check_any_body_will_do(sandbox: RunningSandbox) -> None:
    sandbox.inject(kind="html")
    with client() as http:
        assert http.get(sandbox.url + PATH).text.startswith("<!DOCTYPE")
    assert len(sandbox.requests()) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_refusal_is_permanent_and_never_asked_twice(sandbox: RunningSandbox, status: int) -> None:
    sandbox.inject(kind="status", status=status)
    with (
        client(refusal_hint=lambda response: f"Mend {response.status_code}.") as http,
        pytest.raises(RefusedRequest) as raised,
    ):
        http.get(sandbox.url + PATH)
    assert len(sandbox.requests()) == 1
    assert raised.value.message == (
        f"Somewhere answered {status} to GET {sandbox.url}{PATH}. Mend {status}."
    )
    assert raised.value.response.json() == {"error": f"sandbox fault {status}"}
    assert isinstance(raised.value, PermanentFailure)
    assert raised.value.allow_retries is False


def test_server_says_how_long_to_wait(sandbox: RunningSandbox, waits: list[float]) -> None:
    sandbox.inject(kind="status", status=429, retry_after=7, times=1)
    sandbox.inject(kind="status", status=503, retry_after=2, times=1)
    with client() as http:
        http.get(sandbox.url + PATH)
    assert waits == [7.0, 2.0]


def test_wait_grows_where_the_server_says_nothing(
    sandbox: RunningSandbox, waits: list[float]
) -> None:
    sandbox.inject(kind="status", status=500, times=4)
    with client(attempts=5, backoff_seconds=1.0) as http:
        http.get(sandbox.url + PATH)
    for wait, base in zip(waits, (1, 2, 4, 8), strict=True):
        assert base <= wait <= base + 1


@pytest.mark.parametrize(
    ("asked", "requests"), [(MAX_WAIT_SECONDS, 3), (MAX_WAIT_SECONDS + 1, 1)], ids=["just", "over"]
)
def test_too_long_a_wait_is_left_to_a_later_run(
    sandbox: RunningSandbox, waits: list[float], asked: float, requests: int
) -> None:
    sandbox.inject(kind="status", status=429, retry_after=asked)
    with client() as http, pytest.raises(TransientFailure) as raised:
        http.get(sandbox.url + PATH)
    assert raised.value.retry_after == asked
    assert len(sandbox.requests()) == requests


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("1e400", None),
        ("nan", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


def one_answer(content: bytes = b"[1]", status: int = 200, **headers: str) -> httpx.MockTransport:
    """A network that gives one answer to everything."""
    return httpx.MockTransport(
        lambda request: httpx.Response(
            status, headers={k.replace("_", "-"): v for k, v in headers.items()}, content=content
        )
    )


@pytest.mark.parametrize(
    "charset",
    ["latin-1", "utf-16", "utf-7", "rot13", "base64", "undefined", "idna", "\x00", "none"],
)
def test_a_body_is_utf_8_whatever_its_header_says(charset: str) -> None:
    body = '["µg/m³"]'.encode()
    with client() as http:
        http._client._transport = one_answer(body, content_type=f"text/x; charset={charset}")
        assert http.get("http://somewhere.invalid", None, invalid_body_reason).text == '["µg/m³"]'


@pytest.mark.parametrize(
    "body", [b"[NaN]", b"\xef\xbb\xbf[1]", b'["\\ud800"]', b'["\xe8"]', b"[1e400]"]
)
def test_a_body_with_an_odd_value_is_whole(body: bytes) -> None:
    with client() as http:
        http._client._transport = one_answer(body)
        assert http.get("http://somewhere.invalid", None, invalid_body_reason).content == body


def test_a_body_nested_too_deeply_is_broken(waits: list[float]) -> None:
    with client() as http:
        http._client._transport = one_answer(b"[" * 100_000 + b"]" * 100_000)
        with pytest.raises(BrokenAnswer, match="recursion"):
            http.get("http://somewhere.invalid", None, invalid_body_reason)


@pytest.mark.parametrize("header", ["1e300", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_cannot_ask_for_longer_than_a_day(header: str) -> None:
    with client() as http:
        http._client._transport = one_answer(status=429, retry_after=header)
        with pytest.raises(TransientFailure) as caught:
            http.get("http://somewhere.invalid")
    assert caught.value.retry_after == LONGEST_STATED_WAIT_SECONDS
    # As the sensors count with it.
    assert timedelta(seconds=caught.value.retry_after) == timedelta(days=1)


def test_retry_after_by_a_date_to_come() -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    found = retry_after_seconds(format_datetime(at, usegmt=True))
    assert found is not None
    assert 60 < found <= 90


# Answers that no sandbox gives


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every GET and POST so, and the paths it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", paths
        finally:
            server.shutdown()
            thread.join()


def test_a_post_is_tried_again_with_its_body_whole() -> None:
    bodies: list[bytes] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        bodies.append(request.rfile.read(int(request.headers["Content-Length"])))
        request.send_response(503 if len(bodies) < 3 else 200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"[]")

    sent: list[httpx.Request] = []
    with answering(answer) as (url, _), client(on_request=sent.append) as http:
        assert http.post(url, {"ids": [1, 2]}, is_list).json() == []
    assert [json.loads(body) for body in bodies] == [{"ids": [1, 2]}] * 3
    # With every try.
    assert [request.method for request in sent] == ["POST"] * 3


@pytest.mark.parametrize(("idle", "connections"), [(1.0, 1), (4.0, 2)])
def test_an_idle_connection_is_left_before_its_server_closes_it(
    monkeypatch: pytest.MonkeyPatch, idle: float, connections: int
) -> None:
    callers = set()

    def answer(request: BaseHTTPRequestHandler) -> None:
        callers.add(request.client_address)
        request.protocol_version = "HTTP/1.1"
        request.close_connection = False
        request.send_response(200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"[]")

    with answering(answer) as (url, _), client() as http:
        now = time.monotonic()
        clock = SimpleNamespace(monotonic=lambda: now)
        monkeypatch.setattr("httpcore._sync.http11.time", clock)
        http.get(url)
        now += idle
        http.get(url)
    assert len(callers) == connections


def test_a_wait_stated_in_the_body_goes_before_the_header(waits: list[float]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(429)
        request.send_header("Retry-After", "5")
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"17")

    with (
        answering(answer) as (url, _),
        client(attempts=2, asked_wait=lambda response: float(response.text)) as http,
        pytest.raises(TransientFailure) as caught,
    ):
        http.get(url)
    assert caught.value.retry_after == 17.0
    assert waits == [17.0]


def test_body_that_cannot_be_unpacked_is_transient() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", "9")
        request.end_headers()
        request.wfile.write(b"not gzip!")

    with (
        answering(answer) as (url, paths),
        client() as http,
        pytest.raises(TransientFailure, match="Somewhere"),
    ):
        http.get(url)
    assert len(paths) == 3


def test_answer_that_is_no_http_is_transient() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"hello\r\n\r\n")
        request.close_connection = True

    with (
        answering(answer) as (url, paths),
        client() as http,
        pytest.raises(TransientFailure, match="cannot be reached"),
    ):
        http.get(url)
    assert len(paths) == 3


def test_moved_address_is_followed() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(301 if request.path == "/old" else 200)
        request.send_header("Location", "/new")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with answering(answer) as (url, paths), client() as http:
        assert http.get(f"{url}/old").status_code == 200
        assert paths == ["/old", "/new"]


# Several requests at once


def test_results_come_in_the_order_asked() -> None:
    """Although the first is the last to be ready."""
    others = threading.Event()

    def work(n: int) -> int:
        if n == 0:
            assert others.wait(PATIENCE_S)
        if n == 1:
            others.set()
        return n * n

    assert list(concurrently(work, range(20), workers=3)) == [n * n for n in range(20)]


def test_never_more_under_way_than_workers_nor_held_than_twice() -> None:
    taken = 0
    running: set[int] = set()
    most = 0
    lock = threading.Lock()
    gate = threading.Barrier(2)

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(40):
            taken += 1
            yield n

    def work(n: int) -> int:
        nonlocal most
        with lock:
            running.add(n)
            most = max(most, len(running))
        gate.wait(PATIENCE_S)  # two are always under way together
        with lock:
            running.discard(n)
        return n

    for done, _ in enumerate(concurrently(work, items(), workers=2)):
        assert taken - done <= 2 * 2
    assert most == 2


def test_failure_of_one_reaches_the_caller_and_starts_no_more() -> None:
    started: list[int] = []

    def work(n: int) -> int:
        started.append(n)
        if n == 1:
            raise KeyError(n)
        return n

    results = concurrently(work, range(1000), workers=1)
    assert next(results) == 0
    with pytest.raises(KeyError):
        list(results)
    assert len(started) <= 4


def test_who_stops_reading_stops_the_work() -> None:
    started: list[int] = []
    results = concurrently(started.append, range(1000), workers=2)
    next(results)
    assert isinstance(results, Generator)
    results.close()
    count = len(started)
    assert count <= 5
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
    assert len(started) == count
