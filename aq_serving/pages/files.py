"""How the built pages are sent: one document for all addresses, and what it loads.

A page may run and load nothing but what stands beside it: its policy allows no inline script and no
other site. Names of assets hold their content's hash, so that a browser keeps them for good.
"""

from __future__ import annotations

import functools
import hashlib
import html
import re
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from aq_serving.pages.reference import reference_page
from aq_serving.settings import ApiSettings

STATIC = Path(__file__).parent / "static"
# What the browser's part of the router knows, `dashboard/src/main.tsx`.
ADDRESSES = ("/", "/station", "/compare", "/networks", "/about")
LICENCES = "licences.txt"

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_FOR_GOOD = "public, max-age=31536000, immutable"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class _Assets(StaticFiles):
    """Files that never change."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for good."""
        response = await super().get_response(path, scope)
        response.headers.update({**_HEADERS, "Cache-Control": _FOR_GOOD})
        return response


def add_pages(app: FastAPI, settings: ApiSettings) -> None:
    """Answer the pages' addresses with the built document, and `/assets` with what it loads.

    `/docs` is made of the OpenAPI document when it is first asked for.
    """
    document = _with_tiles((STATIC / "index.html").read_text("utf-8"), settings).encode()
    images = " ".join(filter(None, ("img-src 'self'", settings.tiles_origin)))
    policy = POLICY.replace("img-src 'self'", images)
    licences = (STATIC / LICENCES).read_bytes()
    reference = functools.cache(lambda: _reference(app, document.decode()))

    def page(request: Request) -> Response:
        return _page(request, document, policy)

    def docs(request: Request) -> Response:
        return _page(request, reference())

    async def of_others(_: Request) -> Response:
        return Response(licences, media_type="text/plain", headers=_HEADERS)

    for address in ADDRESSES:
        app.add_route(address, page, include_in_schema=False)
    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route(f"/{LICENCES}", of_others, include_in_schema=False)
    app.mount("/assets", _Assets(directory=STATIC / "assets"), name="assets")


def _with_tiles(document: str, settings: ApiSettings) -> str:
    """The document that tells the map of its tiles, where there are any."""
    said = {"tiles": settings.tiles_url, "tiles-attribution": settings.tiles_attribution}
    if settings.tiles_url is None:
        return document
    lines = (
        f'<meta name="{name}" content="{html.escape(text or "")}" />' for name, text in said.items()
    )
    return document.replace("</head>", f"{''.join(lines)}</head>")


def _page(request: Request, document: bytes, policy: str = POLICY) -> Response:
    tag = f'"{hashlib.sha256(document).hexdigest()[:32]}"'
    headers = {
        **_HEADERS,
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "ETag": tag,
    }
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        return Response(status_code=304, headers=headers)
    return Response(document, media_type="text/html", headers=headers)


def _reference(app: FastAPI, document: str) -> bytes:
    """The page `/docs`, in the style of the built pages."""
    [style] = re.findall(r'href="(/assets/[^"]+\.css)"', document)
    [icon] = re.findall(r'href="(/assets/[^"]+\.svg)"', document)
    return reference_page(app.openapi(), str(app.openapi_url), style, icon)
