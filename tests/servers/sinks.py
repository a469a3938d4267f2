"""Receivers of alerts for the tests: a webhook and a mail server on 127.0.0.1, on free ports."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from tests.patience import PATIENCE_S

HOST = "127.0.0.1"


@dataclass
class WebhookSink:
    """What was posted; answers with `status` after `gate` is open."""

    port: int = 0
    status: int = 200
    posted: list[tuple[str, str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://{HOST}:{self.port}{path}"

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.posted]


@contextlib.contextmanager
def webhook_sink() -> Iterator[WebhookSink]:
    """A webhook that takes Slack's JSON and nothing else."""
    sink = WebhookSink()
    sink.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sink.gate.wait(PATIENCE_S)
            good = self.headers["Content-Type"] == "application/json" and list(body) == ["text"]
            status = sink.status if good else 400
            if status == 200:
                sink.posted.append((self.path, body["text"]))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    sink.port = server.server_address[1]
    with _serving(server):
        try:
            yield sink
        finally:
            sink.gate.set()


@dataclass
class Mail:
    """One message as it arrived."""

    sender: str
    to: list[str]
    data: str
    encrypted: bool
    login: str


@dataclass
class MailSink:
    """A mail server; `refused` receivers are turned away, `broken` ends every message so."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    refused: tuple[str, ...] = ()
    broken: str = ""
    mails: list[Mail] = field(default_factory=list)


class _MailServer(ThreadingTCPServer):
    daemon_threads = True
    sink: MailSink


class _MailTalk(StreamRequestHandler):
    """One connection; a method a verb."""

    server: _MailServer

    def handle(self) -> None:
        self.mail = Mail("", [], "", encrypted=False, login="")
        self.say("220 sink")
        with contextlib.suppress(OSError):
            while line := self.rfile.readline().decode().strip():
                verb = line.split()[0].lower()
                getattr(self, f"on_{verb}", self.on_other)(line)
                if verb == "quit":
                    break
        with contextlib.suppress(OSError):
            self.connection.close()

    def say(self, *lines: str) -> None:
        for line in lines:
            self.wfile.write(f"{line}\r\n".encode())

    def on_other(self, _: str) -> None:
        self.say("250 ok")

    def on_quit(self, _: str) -> None:
        self.say("221 bye")

    def on_ehlo(self, _: str) -> None:
        offers = "AUTH PLAIN" if self.mail.encrypted else "STARTTLS"
        self.say(*(["250-sink", f"250 {offers}"] if self.server.sink.tls else ["250 sink"]))

    def on_starttls(self, _: str) -> None:
        tls = self.server.sink.tls
        assert tls is not None
        self.say("220 go on")
        self.connection = tls.wrap_socket(self.connection, server_side=True)
        self.setup_streams()
        self.mail.encrypted = True

    def setup_streams(self) -> None:
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)

    def on_auth(self, line: str) -> None:
        self.mail.login = line.split()[2]
        self.say("235 welcome")

    def on_mail(self, line: str) -> None:
        self.mail.sender, self.mail.to = _address(line), []
        self.say("250 ok")

    def on_rcpt(self, line: str) -> None:
        if _address(line) in self.server.sink.refused:
            self.say("550 nobody of that name")
            return
        self.mail.to.append(_address(line))
        self.say("250 ok")

    def on_data(self, _: str) -> None:
        self.say("354 go on")
        self.mail.data = "".join(iter(lambda: self.rfile.readline().decode(), ".\r\n"))
        if not self.server.sink.broken:
            self.server.sink.mails.append(replace(self.mail))
        self.say(self.server.sink.broken or "250 taken")


def _address(line: str) -> str:
    return line[line.index("<") + 1 : line.index(">")]


@contextlib.contextmanager
def mail_sink(tls: ssl.SSLContext | None = None) -> Iterator[MailSink]:
    """SMTP, with STARTTLS and a login if `tls` is given."""
    server = _MailServer((HOST, 0), _MailTalk)
    server.sink = MailSink(server.server_address[1], tls)
    with _serving(server):
        yield server.sink


@contextlib.contextmanager
def _serving(server: ThreadingTCPServer | ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
