"""Secrets are struck out of what servers say, and stay with the host that was asked."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http import secrets
from aq_resources.http.client import MAX_REDIRECTS, HttpClient, RefusedRequest
from aq_resources.http.secrets import keep_secret, keep_token, redact, without_secrets
from aq_resources.settings import EnvironmentSettings
from aq_resources.warehouse.connection import connect
from aq_resources.warehouse.location import WarehouseLocation

SECRET = 'a+secret/="1" 100%'


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees another's secrets."""
    monkeypatch.setattr(secrets, "_settings", {})
    monkeypatch.setattr(secrets, "_tokens", deque(maxlen=8))


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d"),
        quote(SECRET),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        str(httpx.URL("http://x/", params={"token": SECRET})).partition("token=")[2],
    ],
)
def test_every_spelling_is_struck_out(spelled: str) -> None:
    assert without_secrets(f"before {spelled} after") == f"before {spelled} after"
    keep_secret(SECRET)
    assert without_secrets(f"before {spelled} after, {spelled}") == "before *** after, ***"


def test_what_is_short_enough_to_be_data_stays() -> None:
    keep_secret("12.5")
    keep_token("7")
    assert redact(b"12.5 and 7") == b"12.5 and 7"


def test_text_that_is_no_text_passes() -> None:
    keep_secret(SECRET)
    assert without_secrets("\ud800") == "\ud800"
    assert redact(b"\xff\xfe") == b"\xff\xfe"


def test_tokens_are_forgotten_in_time() -> None:
    tokens = [f"token-{number:03}" for number in range(20)]
    for token in tokens:
        keep_token(token)
    assert without_secrets(" ".join(tokens[-8:])) == " ".join(["***"] * 8)
    assert without_secrets(tokens[0]) == tokens[0]


def test_settings_hand_their_secrets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(EnvironmentSettings):
        model_config = SettingsConfigDict(env_prefix="AQ_TEST_SECRETS_")

        key: SecretStr | None = None
        name: str = ""

    monkeypatch.setenv("AQ_TEST_SECRETS_KEY", f" {SECRET} ")
    monkeypatch.setenv("AQ_TEST_SECRETS_NAME", "nobody-in-particular")
    Own()
    assert without_secrets(f"{SECRET} nobody-in-particular") == "*** nobody-in-particular"


@pytest.mark.parametrize(
    "libpq",
    [
        "host=127.0.0.1 port=9 user=x password=hunter-of-pg sslpassword=hunter-of-tls",
        "postgresql://x:hunter-of-pg@127.0.0.1:9/lake?sslpassword=hunter-of-tls",
    ],
)
def test_the_passwords_of_a_postgres_catalog_are_secrets(libpq: str) -> None:
    with pytest.raises(TransientFailure, match="cannot be reached") as raised:
        connect(WarehouseLocation(f"ducklake:postgres:{libpq}", "/data"), read_only=True)
    assert "hunter" not in raised.value.message
    assert without_secrets("hunter-of-pg hunter-of-tls") == "*** ***"


@pytest.mark.parametrize("proxy", ["http://user:hun/ter@host:80", "gopher://user:hunter@host"])
def test_a_proxy_that_is_none_is_named_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as raised:
        HttpClient("Somewhere")
    assert "hun" not in str(raised.value)


@pytest.mark.parametrize("kind", [TransientFailure, PermanentFailure])
def test_a_failure_never_says_one(kind: type[TransientFailure | PermanentFailure]) -> None:
    keep_secret(SECRET)
    failure = kind(f"it says {SECRET}")
    assert failure.message == str(failure) == "it says ***"


@dataclass
class Server:
    """Answers with what `answer` says; notes what it is sent."""

    url: str = ""
    status: int = 200
    location: str = ""
    body: bytes = b"{}"
    sent: list[str] = field(default_factory=list)


@contextmanager
def server(host: str = "127.0.0.1") -> Iterator[Server]:
    plan = Server()

    class Talk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            plan.sent.append(f"{self.command} {self.path}\n{self.headers}\n{content.decode()}")
            self.send_response(plan.status)
            if plan.location:
                self.send_header("Location", plan.location)
            self.send_header("Content-Length", str(len(plan.body)))
            self.end_headers()
            self.wfile.write(plan.body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Talk)
    plan.url = f"http://{host}:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield plan
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


class TokenInQuery(httpx.Auth):
    def auth_flow(self, request: httpx.Request) -> Any:
        request.url = request.url.copy_set_param("token", SECRET)
        yield request


@contextmanager
def client() -> Iterator[HttpClient]:
    keep_secret(SECRET)
    with closing(
        HttpClient("Somewhere", attempts=1, auth=TokenInQuery(), headers={"X-Secret": SECRET})
    ) as http:
        yield http


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_another_host_learns_nothing_from_a_redirect(status: int) -> None:
    with server() as asked, server("localhost") as other, client() as http:
        asked.status = status
        asked.location = f"{other.url}/there?token={quote(SECRET, safe='')}&day=1"
        assert http.get(f"{asked.url}/here").json() == {}
        assert http.post(f"{asked.url}/here", {"day": 1}).json() == {}
    assert len(asked.sent) == len(other.sent) == 2
    for sent in asked.sent:
        assert quote(SECRET, safe="") in sent.replace("+", "%20")
        assert f"X-Secret: {SECRET}".lower() in sent.lower()
    for sent in other.sent:
        assert "day=1" in sent
        assert "x-secret" not in sent.lower()
        assert without_secrets(sent) == sent


def test_the_host_that_was_asked_gets_them_again_by_a_redirect() -> None:
    with server() as asked, client() as http:
        asked.status, asked.location = 307, "/there"
        with pytest.raises(RefusedRequest, match="answered 307"):
            http.get(f"{asked.url}/here")
    assert len(asked.sent) == 1 + MAX_REDIRECTS
    assert all("X-Secret" in sent or "x-secret" in sent for sent in asked.sent)
    assert all("token=" in sent for sent in asked.sent)


@pytest.mark.parametrize("status", [200, 401, 500])
def test_what_a_server_repeats_is_struck_out(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with server() as asked, client() as http, caplog.at_level(logging.DEBUG):
        asked.status = status
        asked.body = json.dumps({"said": SECRET, "again": quote(SECRET)}).encode()
        if status == 200:
            assert http.get(asked.url).json() == {"said": "***", "again": "***"}
        else:
            with pytest.raises((RefusedRequest, TransientFailure)) as raised:
                http.get(asked.url)
            response = getattr(raised.value, "response", None)
            assert response is None or response.json() == {"said": "***", "again": "***"}
    assert any("HTTP Request" in record.getMessage() for record in caplog.records)
    assert without_secrets(caplog.text) == caplog.text


def test_an_answer_without_a_secret_is_left_as_it_came() -> None:
    with server() as asked, client() as http:
        asked.body = '{"µg/m³": 1}'.encode()
        assert http.get(asked.url).content == asked.body
