"""The two clients: the same resources, asked for at once or by asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from types import TracebackType
from typing import Any, Self

import httpx
import polars as pl

from aq_client.answers import (
    Patience,
    next_cursor,
    rows_of,
    unreachable,
    wait_before_retry,
)
from aq_client.resources import Params, Resources

API_KEY = "X-API-Key"
_VERSION = "v1"


def _options(base_url: str, api_key: str | None, timeout: float, transport: Any) -> dict[str, Any]:
    headers = {"User-Agent": "aq-client", **({} if api_key is None else {API_KEY: api_key})}
    # No redirect is followed: it could lead the key elsewhere.
    options = {"base_url": base_url.rstrip("/"), "headers": headers, "timeout": timeout}
    return options if transport is None else {**options, "transport": transport}


def _given(params: Params) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


class Client(Resources[pl.DataFrame]):
    """Asks the API and gives frames; close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        attempts: int = 5,
        longest_wait: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            base_url: Such as `https://air.example.org`; a path before `/v1` may follow.
            api_key: Where the API asks for one.
            timeout: Seconds for one try.
            attempts: Tries at one request that fails for the time being.
            longest_wait: Seconds between two tries, also where the server asks for more.
            transport: In place of the network.
        """
        self._http = httpx.Client(**_options(base_url, api_key, timeout, transport))
        self._patience = Patience(max(1, attempts), longest_wait)

    def pages(self, path: str, **params: Any) -> Iterator[pl.DataFrame]:
        """The pages of a resource one by one, for more rows than fit into memory.

        Args:
            path: Such as `hourly-readings.arrow`.
            params: As in the API's documentation.

        Yields:
            A frame a page.
        """
        asked = _given(params)
        while True:
            response = self._ask(f"{_VERSION}/{path}", asked)
            yield rows_of(response)
            cursor = next_cursor(response)
            if cursor is None:
                return
            asked["cursor"] = cursor

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _rows(self, path: str, params: Params) -> pl.DataFrame:
        return pl.concat(self.pages(path, **params), rechunk=False)

    def _ask(self, url: str, params: Params) -> httpx.Response:
        for attempt in range(1, self._patience.attempts + 1):
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.get(url, params=params)
            except httpx.TransportError as error:
                outcome = error
            wait = wait_before_retry(outcome, attempt, self._patience)
            if wait is None:
                break
            time.sleep(wait)
        return _answer(outcome, url)


class AsyncClient(Resources[Awaitable[pl.DataFrame]]):
    """As `Client`, for asyncio: `await air.stations()`."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        attempts: int = 5,
        longest_wait: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            base_url: As for `Client`.
            api_key: As for `Client`.
            timeout: As for `Client`.
            attempts: As for `Client`.
            longest_wait: As for `Client`.
            transport: In place of the network.
        """
        self._http = httpx.AsyncClient(**_options(base_url, api_key, timeout, transport))
        self._patience = Patience(max(1, attempts), longest_wait)

    async def pages(self, path: str, **params: Any) -> AsyncIterator[pl.DataFrame]:
        """The pages of a resource one by one, for more rows than fit into memory.

        Args:
            path: Such as `hourly-readings.arrow`.
            params: As in the API's documentation.

        Yields:
            A frame a page.
        """
        asked = _given(params)
        while True:
            response = await self._ask(f"{_VERSION}/{path}", asked)
            yield rows_of(response)
            cursor = next_cursor(response)
            if cursor is None:
                return
            asked["cursor"] = cursor

    async def close(self) -> None:
        """Give connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _rows(self, path: str, params: Params) -> pl.DataFrame:
        return pl.concat([page async for page in self.pages(path, **params)], rechunk=False)

    async def _ask(self, url: str, params: Params) -> httpx.Response:
        for attempt in range(1, self._patience.attempts + 1):
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.get(url, params=params)
            except httpx.TransportError as error:
                outcome = error
            wait = wait_before_retry(outcome, attempt, self._patience)
            if wait is None:
                break
            await asyncio.sleep(wait)
        return _answer(outcome, url)


def _answer(outcome: httpx.Response | httpx.TransportError, url: str) -> httpx.Response:
    """The answer that a request came to in the end.

    Raises:
        ApiError: None came.
    """
    if isinstance(outcome, httpx.TransportError):
        raise unreachable(outcome, url) from outcome
    return outcome
