"""The server's protocol over real sockets: the short way says what the long one says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import uvicorn

from aq_resources.services import Services
from aq_serving import live, metrics, protocol, published
from aq_serving.app import create_app
from aq_serving.hot import HotAnswers
from aq_serving.protocol import ServingProtocol
from aq_serving.settings import ApiSettings
from tests.unit.serving.conftest import NETWORKS, NOW, fill, publish

pytestmark = pytest.mark.server

HEAD = b"GET /v1/latest?station_id=s1 HTTP/1.1\r\nhost: api\r\n\r\n"
OTHER = b"GET /v1/latest?network=irceline HTTP/1.1\r\nhost: api\r\n\r\n"
PATIENCE_S = 600.0


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """Published stores that no test of this file changes."""
    folder = tmp_path_factory.mktemp("spoken")
    (folder / "networks.yaml").write_text(NETWORKS, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_HOME", str(folder / "home"))
        patch.setenv("AQ_NETWORKS", str(folder / "networks.yaml"))
        found = Services.from_environment(now=lambda: NOW)
    found.warehouse.prepare()
    fill(found)
    publish(found, "airqino")
    publish(found, "irceline")
    return found


@contextlib.contextmanager
def served(services: Services, **settings: str) -> Iterator[int]:
    """A server in a thread; yields its port."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(f"AQ_API_{name}".upper(), value)
        application = create_app(services, ApiSettings())
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, http=ServingProtocol, log_level="error", lifespan="on", server_header=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=[[listening]])
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listening.close()


@pytest.fixture(scope="module")
def port(stores: Services) -> Iterator[int]:
    with served(stores) as found:
        yield found


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def receive(connection: socket.socket) -> tuple[bytes, bytes]:
    """One response: its head without the date, and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    [length] = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
    while len(body) < length:
        body += _more(connection)
    assert len(body) == length
    dates = [line for line in lines if line.lower().startswith(b"date:")]
    assert len(dates) == 1
    return b"\r\n".join(sorted(line for line in lines if line not in dates)), body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1)
    if not data:
        raise ConnectionResetError("closed")
    return data


@pytest.fixture
def short_ways(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that were answered the short way."""
    taken: list[bytes] = []
    real = HotAnswers.ready

    def ready(self: HotAnswers, head: bytes) -> Any:
        found = real(self, head)
        if found is not None:
            taken.append(head)
        return found

    monkeypatch.setattr(HotAnswers, "ready", ready)
    return taken


def test_the_short_way_gives_the_same_bytes(port: int, short_ways: list[bytes]) -> None:
    with connect(port) as connection:
        answers = []
        for _ in range(4):
            connection.sendall(HEAD)
            answers.append(receive(connection))
    assert short_ways
    assert answers == answers[:1] * 4
    assert b'"station_id":"s1"' in answers[0][1]


def test_requests_one_behind_the_other_are_answered_in_order(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD)
        first = receive(connection)
        connection.sendall(OTHER)
        second = receive(connection)
        assert first != second
        # Two in one packet, and then each by itself: what they begin with is known by now.
        for data, expected in (
            (HEAD + OTHER, [first, second]),
            (OTHER, [second]),
            (HEAD + OTHER, [first, second]),
            (HEAD + HEAD, [first, first]),
            (HEAD, [first]),
        ):
            connection.sendall(data)
            assert [receive(connection) for _ in expected] == expected


def test_a_request_in_pieces_is_one(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD)
        whole = receive(connection)
        for cut in range(1, len(HEAD)):
            connection.sendall(HEAD[:cut])
            connection.sendall(HEAD[cut:])
            assert receive(connection) == whole


def test_a_body_that_looks_like_a_request_is_none(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD)
        whole = receive(connection)
        length = str(len(OTHER)).encode()
        begun = HEAD[:-2] + b"content-length: " + length + b"\r\n\r\n"
        for _ in range(3):
            connection.sendall(begun)
            connection.sendall(OTHER)
            assert receive(connection) == whole
            connection.sendall(HEAD)
            assert receive(connection) == whole


def test_a_condition_is_looked_at_each_time(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD)
        head, _ = receive(connection)
        [tag] = [line for line in head.split(b"\r\n") if line.startswith(b"etag")]
        known = HEAD[:-2] + b"if-none-match:" + tag.partition(b":")[2] + b"\r\n\r\n"
        for _ in range(3):
            connection.sendall(known)
            data = b""
            while b"\r\n\r\n" not in data:
                data += _more(connection)
            assert data.startswith(b"HTTP/1.1 304")


def test_answers_from_memory_are_counted(port: int, short_ways: list[bytes]) -> None:
    # No other test asks for these.
    head = b"GET /v1/networks HTTP/1.1\r\nhost: api\r\n\r\n"

    def counted() -> list[float]:
        return [
            metrics._COUNT.labels("GET", "/v1/networks", status)._value.get()
            for status in ("200", "304")
        ]

    before = counted()
    with connect(port) as connection:
        for _ in range(5):
            connection.sendall(head)
            lines, _ = receive(connection)
        [tag] = [line for line in lines.split(b"\r\n") if line.startswith(b"etag")]
        known = b"if-none-match:" + tag.partition(b":")[2]
        connection.sendall(head[:-2] + known + b"\r\n\r\n")
        _more(connection)
    assert short_ways
    _wait_until(lambda: counted() == [before[0] + 5, before[1] + 1])


def test_limits_hold_on_the_short_way(stores: Services, short_ways: list[bytes]) -> None:
    with served(stores, address_rate="0.5") as own, connect(own) as connection:
        seen = []
        for _ in range(8):
            connection.sendall(HEAD)
            seen.append(receive(connection)[0].split(b"\r\n"))
    statuses = [next(line for line in lines if line.startswith(b"HTTP")) for lines in seen]
    assert b" 200 " in statuses[1]
    assert short_ways
    assert b" 429 " in statuses[-1]


def test_who_keeps_the_server_waiting_is_let_go(
    stores: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "SWEEP_SECONDS", 0.05)
    with served(stores) as own:
        for begun in (b"", b"GET /v1/la", HEAD[:-2]):
            with connect(own) as connection:
                connection.sendall(begun)
                assert connection.recv(1) == b""


def test_beyond_the_most_connections_one_that_waits_makes_place(stores: Services) -> None:
    with served(stores, most_connections="20") as own, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(own)) for _ in range(60)]
        with connect(own) as connection:
            connection.sendall(HEAD)
            assert b"200 OK" in receive(connection)[0]
        for one in idle:
            one.setblocking(False)

        def ended() -> int:
            return sum(_is_closed(one) for one in idle)

        _wait_until(lambda: ended() >= 40)


def test_garbage_is_refused_and_harms_no_one(port: int) -> None:
    for garbage in (b"\x00\xff" * 40, b"GET\r\n\r\n", b"GET /v1/latest HTTP/9.9\r\n\r\n"):
        with connect(port) as connection:
            connection.sendall(garbage)
            assert connection.recv(12)[:12] in (b"HTTP/1.1 400", b"")
    with connect(port) as connection:
        connection.sendall(HEAD)
        assert b"200 OK" in receive(connection)[0]


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_page_hears_through_a_real_server_which_stops_though_it_listens(
    stores: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarters = [NOW]
    monkeypatch.setattr(published, "quarter_of", lambda _: quarters[-1])
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.1)
    with contextlib.ExitStack() as after, served(stores, streams_of_address="1") as port:
        connection = after.enter_context(connect(port))
        connection.sendall(b"GET /v1/live HTTP/1.1\r\nhost: api\r\naccept-encoding: gzip\r\n\r\n")
        reader = connection.makefile("rb")

        def until(text: bytes) -> list[bytes]:
            found = [reader.readline()]
            while text not in found[-1]:
                assert found[-1]
                found.append(reader.readline())
            return found

        head = until(b"retry: ")
        assert head[0].startswith(b"HTTP/1.1 200")
        assert b"content-type: text/event-stream; charset=utf-8\r\n" in head
        assert not any(line.startswith(b"content-encoding") for line in head)
        first = until(b"data: ")
        assert until(b": ")[-1] == b": \n"
        quarters.append(NOW + timedelta(minutes=15))
        second = until(b"data: ")
        assert f"{quarters[-1]:%H:%M:%S}".encode() in second[-1]
        assert first[-1] != second[-1]
        # Other requests go on beside it; a further stream of this address is one too many.
        for method, status in ((b"GET", b"429"), (b"HEAD", b"405")):
            with connect(port) as other:
                other.sendall(method + b" /v1/live HTTP/1.1\r\nhost: api\r\n\r\n")
                assert other.recv(100).startswith(b"HTTP/1.1 " + status)
        after.callback(lambda: until(b"0\r\n"))
