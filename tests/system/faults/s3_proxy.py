"""A way to S3 on which writes can be refused, as an overloaded or read-only S3 refuses them."""

from __future__ import annotations

import contextlib
import http.client
import math
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
# Between two neighbours only.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class S3Proxy:
    """Passes everything on, until told to refuse writes. Counts those refused."""

    def __init__(self, upstream: str) -> None:
        self.refused = 0
        self.url = ""
        self._host = urlparse(upstream).netloc
        self._lock = threading.Lock()
        self._until_refusal: int | None = None
        self._seconds: float | None = None
        self._refuses_until = 0.0

    def refuse_after(self, writes: int, seconds: float | None) -> None:
        """Refuse writes after as many more, for some seconds from the first one on, or for good."""
        with self._lock:
            self._until_refusal, self._seconds = writes, seconds

    def allow(self) -> None:
        """Refuse no longer."""
        with self._lock:
            self._until_refusal, self._refuses_until = None, 0.0

    def refuses(self) -> bool:
        """Whether the write that has just come is refused."""
        with self._lock:
            if self._until_refusal is not None:
                self._until_refusal -= 1
                if self._until_refusal < 0:
                    self._until_refusal = None
                    seconds = math.inf if self._seconds is None else self._seconds
                    self._refuses_until = time.monotonic() + seconds
            refused = time.monotonic() < self._refuses_until
            self.refused += refused
            return refused

    def handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if self.command in ("PUT", "POST", "DELETE") and proxy.refuses():
                    self._answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
                    return
                with contextlib.closing(http.client.HTTPConnection(proxy._host)) as upstream:
                    # The signature covers the Host header that the client sent.
                    upstream.request(self.command, self.path, body, dict(self.headers.items()))
                    answer = upstream.getresponse()
                    self._answer(answer.status, answer.getheaders(), answer.read())

            def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                length = str(len(body))
                for name, value in headers:
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                    elif name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


@contextlib.contextmanager
def s3_proxy(upstream: str) -> Iterator[S3Proxy]:
    """A proxy to the S3 at `upstream`, until the end of the block."""
    proxy = S3Proxy(upstream)
    with ThreadingHTTPServer(("127.0.0.1", 0), proxy.handler()) as server:
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
