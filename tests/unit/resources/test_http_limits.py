"""Every request has an end: in time, in bytes, and at the wall of this machine's own network."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http import client as http_client
from aq_resources.http.inside import is_inside
from aq_resources.network_toolkit.turns import Turn
from tests.unit.resources.test_http import client

# What comes before the body: its beginning, and what is repeated without an end.
HEADS = {
    "/status-line": (b"HTTP/1.1 200 ", b"O"),
    "/headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "/informing": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "/length-of-a-chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
}


class Odd(BaseHTTPRequestHandler):
    """Answers by path; remembers the cookies that it was sent."""

    cookies: ClassVar[list[str | None]]
    asked: ClassVar[int]
    go_on: ClassVar[threading.Event]

    def do_GET(self) -> None:
        type(self).asked += 1
        self.cookies.append(self.headers.get("Cookie"))
        if self.path == "/dripping":
            self.send_response(200)
            self.end_headers()
            self._drip(b"", b" ")
        elif self.path in HEADS:
            self._drip(*HEADS[self.path])
        elif self.path == "/bomb":
            self._send(gzip.compress(b" " * 30_000_000), {"Content-Encoding": "gzip"})
        elif self.path.startswith("/to/"):
            self._send(b"", {"Location": self.path[4:]}, 302)
        else:
            self._send(b"[]", {"Set-Cookie": "who=you; Path=/"})

    def do_CONNECT(self) -> None:
        type(self).asked += 1
        self._drip(*HEADS["/headers"])

    def _drip(self, beginning: bytes, rest: bytes) -> None:
        self.wfile.write(beginning)
        while not self.go_on.wait(0.05):
            try:
                self.wfile.write(rest)
            except OSError:
                return

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Odd]]]:
    class Handler(Odd):
        cookies: ClassVar[list[str | None]] = []
        asked = 0
        go_on = threading.Event()

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", Handler
    finally:
        Handler.go_on.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.mark.parametrize("path", ["/dripping", *HEADS])
def test_an_answer_that_drips_ends_with_all_its_tries(
    path: str, server: tuple[str, type[Odd]]
) -> None:
    url, handler = server
    with (
        client(timeout=60, deadline=2.0) as http,
        pytest.raises(TransientFailure, match="did not answer in time"),
    ):
        http.get(f"{url}{path}")
    # The time was for all tries together.
    assert handler.asked == 1


def test_a_proxy_of_the_environment_is_used_and_bounded_too(
    server: tuple[str, type[Odd]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    monkeypatch.setenv("https_proxy", url)
    with (
        client(timeout=60, deadline=2.0) as http,
        pytest.raises(TransientFailure, match="did not answer in time"),
    ):
        http.get("https://air.example.org/")
    assert handler.asked == 1


def test_by_default_the_end_follows_from_the_time_out() -> None:
    with client(timeout=3) as http:
        assert http._deadline == 3 * http_client.DEADLINE_TIMEOUTS


def test_an_answer_is_read_as_far_as_an_answer_can_be_long(
    server: tuple[str, type[Odd]],
) -> None:
    url, handler = server
    with (
        client(max_bytes=1_000_000) as http,
        pytest.raises(PermanentFailure, match="more than 1 MB"),
    ):
        http.get(f"{url}/bomb")
    assert handler.asked == 1


def test_no_cookie_is_kept(server: tuple[str, type[Odd]]) -> None:
    url, handler = server
    with client() as http:
        for _ in range(2):
            http.get(f"{url}/set")
    assert handler.cookies == [None, None]


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.0.1", True),
        ("169.254.169.254", True),
        ("[::1]".strip("[]"), True),
        ("fd00::1", True),
        ("0.0.0.0", True),
        ("localhost", True),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("no.such.host.invalid", False),
        ("\udcff", False),
    ],
)
def test_what_is_inside(host: str, inside: bool) -> None:
    assert is_inside(host) is inside


def test_nobody_sends_us_into_our_own_network(
    server: tuple[str, type[Odd]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    # The network's own host is as one of the world.
    monkeypatch.setattr(http_client, "is_inside", lambda host: host != "127.0.0.1")
    with client() as http, pytest.raises(PermanentFailure, match="its own network"):
        http.get(f"{url}/to/http://localhost:1/metadata")
    assert handler.asked == 1


def test_a_network_that_is_inside_may_send_us_on_inside(server: tuple[str, type[Odd]]) -> None:
    url, _ = server
    with client() as http:
        assert http.get(f"{url}/to/{url}/set").status_code == 200


def test_a_turn_is_waited_for_and_not_for_ever() -> None:
    turn = Turn(patience=0.05)
    entered = threading.Event()
    done = threading.Event()

    def slow() -> None:
        with turn.taken():
            entered.set()
            done.wait()

    thread = threading.Thread(target=slow)
    thread.start()
    entered.wait()
    with turn.taken():
        # The slow one is still at it.
        assert thread.is_alive()
    done.set()
    thread.join()
    patient = Turn(patience=60)
    with patient.taken():
        assert patient._lock.locked()
    assert not patient._lock.locked()
