"""What the guard before the UI lets through: every rule, by requests as browsers send them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from aq_platform.web_guard import WebGuard
from aq_resources.failures import SettingsError
from aq_resources.settings import Settings

JSON = {"content-type": "application/json"}
OWN = {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-origin"}
FOREIGN = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}


async def everything(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers whatever comes."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await PlainTextResponse("passed")(scope, receive, send)


def ask(
    method: str = "GET",
    path: str = "/",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    *,
    host: str = "127.0.0.1:3000",
    hosts: tuple[str, ...] = (),
    server: str = "127.0.0.1",
) -> tuple[str, str, dict[str, str]]:
    """How it ended (status, or `accept`), the text and the headers of one request."""
    given = headers.items() if isinstance(headers, dict) else headers or []
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "websocket" if method == "WEBSOCKET" else "http",
        "path": path,
        "query_string": b"",
        "headers": [
            (name.encode(), value.encode("latin-1")) for name, value in [("host", host), *given]
        ],
        "server": (server, 3000),
        "extensions": {"websocket.http.response": {}},
    }
    if method != "WEBSOCKET":
        scope["method"] = method
    asyncio.run(WebGuard(everything, hosts)(scope, receive, send))
    first, *rest = sent
    if first["type"] == "websocket.accept":
        return "accept", "", {}
    text = b"".join(message.get("body", b"") for message in rest).decode()
    answered = {name.decode(): value.decode() for name, value in first["headers"]}
    return str(first["status"]), text, answered


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST", "[::1]:3000", "127.0.0.1"]
    )
    def test_loopback_is_known(self, host: str) -> None:
        assert ask(host=host)[0] == "200"

    def test_the_bound_host_and_the_set_ones_are_known(self) -> None:
        hosts = ("Air.example.org", "box")
        for host in ("air.example.org", "AIR.example.org:8443", "box:3000"):
            assert ask(host=host, hosts=hosts)[0] == "200"
            assert ask(host=host)[0] == "421"

    def test_the_address_it_came_in_by_is_known(self) -> None:
        # As the probes of Kubernetes do it.
        assert ask(host="10.2.3.4:3000", server="10.2.3.4")[0] == "200"
        assert ask(host="[fd00::1]:3000", server="fd00::1")[0] == "200"
        assert ask(host="10.2.3.5:3000", server="10.2.3.4")[0] == "421"

    @pytest.mark.parametrize(
        "host",
        [
            *("evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example:3000", ""),
            *("evil.example@127.0.0.1:3000", "127.0.0.1:3000/evil.example", "0.0.0.0:3000"),
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "WEBSOCKET"])
    def test_any_other_name_is_refused_and_told(self, host: str, method: str) -> None:
        ended, text, _ = ask(method, host=host, hosts=("0.0.0.0", "::", ""))
        assert ended == "421"
        assert f"does not answer to the name {host!r}" in text
        assert "add it to AQ_UI_HOSTS" in text

    def test_two_hosts_are_none(self) -> None:
        assert ask(headers=[("host", "127.0.0.1:3000")])[0] == "421"


class TestOrigins:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "WEBSOCKET"])
    @pytest.mark.parametrize(
        ("headers", "passes"),
        [
            (OWN, True),
            ({}, True),
            ({"origin": "http://127.0.0.1:3000"}, True),
            (FOREIGN, False),
            ({"origin": "null"}, False),
            ({"origin": ""}, False),
            ({"origin": "http://127.0.0.1:3001"}, False),
            ({"origin": "http://127.0.0.1"}, False),
            ({"origin": "http://127.0.0.1:3000.evil.example"}, False),
            ({"origin": "http://localhost:3000"}, False),
            ({"sec-fetch-site": "cross-site"}, False),
            ({"sec-fetch-site": "same-site"}, False),
            ([("origin", "http://127.0.0.1:3000"), ("origin", "http://evil.example")], False),
        ],
    )
    def test_what_writes_comes_from_its_own_pages(
        self, method: str, headers: dict[str, str], *, passes: bool
    ) -> None:
        ended, text, _ = ask(method, "/report_asset_materialization/x", headers)
        assert (ended in ("200", "accept")) is passes
        assert passes or (ended == "403" and "another site asked for this" in text)

    def test_before_a_proxy_the_scheme_is_another(self) -> None:
        hosts = ("air.example.org",)
        for origin, host in (
            ("https://air.example.org", "air.example.org"),
            ("https://air.example.org", "air.example.org:443"),
            ("https://air.example.org:8443", "air.example.org:8443"),
        ):
            answer = ask("POST", "/graphql", {"origin": origin, **JSON}, host=host, hosts=hosts)
            assert answer[0] == "200"
        behind = ask("POST", "/graphql", {"origin": "https://air.example.org", **JSON})
        assert behind[0] == "403"
        assert "hand on the header Host" in behind[1]

    def test_a_link_from_elsewhere_opens_the_ui(self) -> None:
        headers = {"sec-fetch-site": "cross-site", "accept": "text/html,*/*"}
        assert ask("GET", "/runs/1", headers)[0] == "200"


class TestGraphQL:
    @pytest.mark.parametrize(
        "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
    )
    @pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/prefix/graphql"])
    def test_json_by_post_passes(self, kind: str, path: str) -> None:
        assert ask("POST", path, {**OWN, "content-type": kind})[0] == "200"

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"content-type": ""},
            {"content-type": "text/plain"},
            {"content-type": "text/plain; application/json"},
            {"content-type": "application/graphql"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "multipart/form-data; boundary=application/json"},
            [("content-type", "application/json"), ("content-type", "text/plain")],
        ],
    )
    def test_any_other_body_is_refused(self, headers: dict[str, str]) -> None:
        ended, text, _ = ask("POST", "/graphql", headers)
        assert ended == "415"
        assert "Content-Type: application/json" in text

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
    def test_any_other_method_is_refused(self, method: str) -> None:
        for accept in ("*/*", "image/avif,*/*"):
            ended, text, _ = ask(method, "/graphql", {"accept": accept})
            assert ended == "405"
            assert "by POST" in text

    def test_the_page_for_trying_queries_opens(self) -> None:
        assert ask("GET", "/graphql", {"accept": "text/html,*/*"})[0] == "200"


def test_no_other_site_frames_an_answer() -> None:
    assert ask()[2]["x-frame-options"] == "SAMEORIGIN"


class TestSetting:
    def test_names_are_read(self, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> None:
        monkeypatch.setenv("AQ_UI_HOSTS", " Air.example.org, box ,")
        monkeypatch.setenv("AQ_UI_URL", "https://ui.example.org:8443/x")
        assert Settings().known_ui_hosts == ("air.example.org", "box", "ui.example.org")

    @pytest.mark.parametrize(
        "value", ["http://air.example.org", "air:3000", "*.example.org", "a b"]
    )
    def test_what_is_no_name_is_refused(
        self, value: str, monkeypatch: pytest.MonkeyPatch, clean_environment: None
    ) -> None:
        monkeypatch.setenv("AQ_UI_HOSTS", value)
        with pytest.raises(SettingsError, match=r"AQ_UI_HOSTS: .* without scheme, port"):
            Settings()
