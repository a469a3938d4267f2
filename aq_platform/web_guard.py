"""The guard before the web server: who may ask it, and how something may be changed by it.

Dagster's web server has no login and believes every browser. Any web page can make the browser of
a person who reaches it send requests; the guard lets none of those change anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Addresses of no machine: a server bound to them listens on all of its own.
_ANY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^][:/@?#\s]+)(:\d+)?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class WebGuard:
    """An ASGI application that refuses what a page of another site may have sent.

    A request passes where

    * its `Host` is a known name, or the address that it came in by: a name that an attacker made
      point here (DNS rebinding) is neither;
    * it only reads, or comes from no page or from one of this very server (`Origin`,
      `Sec-Fetch-Site`); a websocket counts as writing;
    * GraphQL comes by POST and as JSON, which no page can send to another site unasked.

    Answers may not be framed by other sites, so that no one is led to press a button in them.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        """Guard an application.

        Args:
            app: What answers the requests that pass.
            hosts: Names by which it is reached, without port, beside those of loopback.
        """
        self._app = app
        self._hosts = _LOOPBACK | {host.casefold() for host in hosts if host not in _ANY}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the application or by a refusal."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            status, reason = refusal
            await PlainTextResponse(f"aq: {reason}\n", status)(scope, receive, send)
            return

        async def unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
            await send(message)

        await self._app(scope, receive, unframed)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and reason; None for a request that passes."""
        host = _only(headers, "host").casefold()
        if not self._known(host, scope):
            return 421, (
                f"the UI does not answer to the name {host!r}. Where it is its name, add it to "
                "AQ_UI_HOSTS (without a port) and start the UI again."
            )
        method = scope.get("method", "websocket")
        if method not in _READING and not _same_origin(headers, host):
            return 403, (
                "a page of another site asked for this. Open the UI by one address alone; a proxy "
                "before it has to hand on the header Host as it came."
            )
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith("/graphql"):
            return _graphql_refusal(method, headers)
        return None

    def _known(self, host: str, scope: Scope) -> bool:
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        name = parts[1].strip("[]")
        return name in self._hosts or name == (scope.get("server") or ("",))[0]


def _same_origin(headers: Headers, host: str) -> bool:
    """Whether a page of this server sent it, or no page: a browser says which, a program nothing.

    The scheme is not compared: before a proxy it is another.
    """
    if _only(headers, "sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    if "origin" not in headers:
        return True
    scheme, _, place = _only(headers, "origin").casefold().partition("://")
    port = _DEFAULT_PORTS.get(scheme, "")
    return place != "" and place.removesuffix(port) == host.removesuffix(port)


def _graphql_refusal(method: str, headers: Headers) -> tuple[int, str] | None:
    # The page to try queries in, which a browser opens; Dagster answers it without any query.
    if method == "GET" and "text/html" in headers.get("accept", ""):
        return None
    if method != "POST":
        return 405, "GraphQL is asked by POST, with JSON as the body."
    if _only(headers, "content-type").partition(";")[0].strip().casefold() != "application/json":
        return 415, "GraphQL takes JSON alone: send it with Content-Type: application/json."
    return None


def _only(headers: Headers, name: str, default: str = "") -> str:
    """The header's value; nothing where it was sent twice, since others may read the other one."""
    values = headers.getlist(name) or [default]
    return values[0] if len(values) == 1 else ""
