"""A gate before the sandbox: takes marked credentials in place of its own, and plays the faults
that matter to secrets, above all servers that repeat what they were sent.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

import httpx

from aq_sandbox.server import RunningSandbox
from tests.patience import PATIENCE_S

HOST = "127.0.0.1"
# Seen from the platform this is another host than the gate's.
ELSEWHERE = "localhost"
FAULTS = ("refused", "truncated", "html", "redirect", "down", "form")
# By turns.
REFUSALS, REDIRECTS = (401, 500, 403, 429), (302, 307)
_HOP = {"connection", "transfer-encoding", "content-encoding", "content-length", "date", "server"}


@dataclass
class Gate:
    """`marks`: what each mark is to the sandbox. `fault` is one of `FAULTS`, or nothing."""

    target: str
    marks: Mapping[str, str]
    fault: str = ""
    url: str = ""
    elsewhere: str = ""
    # Marks that came in, and tokens that went out.
    arrived: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    # All that the other host was sent.
    leaked: list[bytes] = field(default_factory=list)
    refusals: Iterator[int] = field(default_factory=lambda: itertools.cycle(REFUSALS))
    redirects: Iterator[int] = field(default_factory=lambda: itertools.cycle(REDIRECTS))
    # Every second login goes well, so that what needs one is reached.
    spared: Iterator[bool] = field(default_factory=lambda: itertools.cycle((True, False)))


class _Talk(BaseHTTPRequestHandler):
    """One request to the gate."""

    protocol_version = "HTTP/1.1"
    gate: Gate
    # Credentials of this request.
    brought: set[str]

    def do_GET(self) -> None:
        gate, self.brought = self.gate, set()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        query = self.translated(parse_qsl(address.query, keep_blank_values=True))
        headers = self.translated(list(self.headers.items()))
        login = self.headers.get_content_type() == "application/x-www-form-urlencoded"
        if login:
            body = urlencode(self.translated(parse_qsl(body.decode()))).encode()
        match "" if login and next(gate.spared) else gate.fault:
            case "refused":
                self.answer(next(gate.refusals), {"Retry-After": "0"}, self.error())
            case "redirect":
                # The address with its query, as servers write it.
                where = {"Location": f"{gate.elsewhere}{self.path}"}
                self.answer(next(gate.redirects), where, self.error())
            case "html":
                self.answer(200, {"Content-Type": "text/html"}, f"<p>{self.said}</p>".encode())
            case "form":
                self.answer(200, {"Content-Type": "application/json"}, self.other_form())
            case "down":
                self.close_connection = True
            case fault:
                wanted = [(k, v) for k, v in headers if k.lower() not in {"host", *_HOP}]
                answer = httpx.request(
                    self.command,
                    httpx.URL(f"{gate.target}{address.path}", params=query),
                    headers={**dict(wanted), "Accept-Encoding": "identity"},
                    content=body,
                    timeout=PATIENCE_S,
                    trust_env=False,
                )
                given = re.findall(rb'"(?:access|refresh)_token":\s*"([^"]+)"', answer.content)
                gate.tokens |= {token.decode() for token in given}
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
                cut = len(answer.content) // 2 if fault else None
                self.answer(answer.status_code, kept, answer.content[:cut])

    do_POST = do_GET  # noqa: N815

    def translated(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The same with the sandbox's own credentials for the marks."""
        values = {value for _, value in pairs}
        self.gate.arrived |= values & self.gate.marks.keys()
        bare = {value.removeprefix("Bearer ") for value in values}
        self.brought |= bare & (self.gate.marks.keys() | self.gate.tokens)
        return [(name, self.gate.marks.get(value, value)) for name, value in pairs]

    @property
    def said(self) -> str:
        """What a careless server says: the credentials it was sent, spelled in several ways."""
        return " ".join(
            spelling
            for secret in sorted(self.brought)
            for spelling in (
                *(secret, quote(secret, safe=""), quote_plus(secret)),
                base64.b64encode(secret.encode()).decode(),
            )
        )

    def error(self) -> bytes:
        """The three ways in which the networks write errors, in one."""
        body = {"success": False, "status": "error", "error": "Unauthorized"}
        return json.dumps({**body, "message": self.said, "detail": self.said}).encode()

    def other_form(self) -> bytes:
        """Lists of the networks' names with records of no known form."""
        record = {"id": self.said, "timestamp": self.said, "device": self.said, "time": self.said}
        names = ("data", "measurements", "results", "devices", "sites", "cohorts", "sensors")
        return json.dumps({name: [record, self.said] for name in names}).encode()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Elsewhere(BaseHTTPRequestHandler):
    """The host that a redirect names: writes down all it is sent."""

    gate: Gate

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.gate.leaked.append(f"{self.path}\n{self.headers}\n".encode() + sent)
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET
    daemon_threads = True
    # Five by default: four networks ask at once, and a caller turned away waits for seconds.
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""


@contextlib.contextmanager
def gate_before(sandbox: RunningSandbox, marks: Mapping[str, str]) -> Iterator[Gate]:
    """A gate on free ports of 127.0.0.1."""
    gate = Gate(sandbox.url, marks)
    with contextlib.ExitStack() as stack:
        for name, talk, host in (("url", _Talk, HOST), ("elsewhere", _Elsewhere, ELSEWHERE)):
            server = _Server((HOST, 0), type(talk.__name__, (talk,), {"gate": gate}))
            setattr(gate, name, f"http://{host}:{server.server_address[1]}")
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        yield gate
