"""The application as the transport of a client that is not asynchronous."""

from __future__ import annotations

import asyncio

import httpx
from fastapi import FastAPI


class InProcess(httpx.BaseTransport):
    """The application behind a client that is not asynchronous; what was asked is kept."""

    def __init__(self, application: FastAPI) -> None:
        self._application = application
        self.asked: list[httpx.URL] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)

        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self._application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(request.method, request.url, headers=request.headers)

        found = asyncio.run(answer())
        headers = {k: v for k, v in found.headers.items() if k != "content-encoding"}
        return httpx.Response(found.status_code, headers=headers, content=found.content)
