"""Questions to OpenAQ's interface: with the key, within the limit, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import httpx

from aq_resources.failures import TransientFailure
from aq_resources.http.client import HttpClient, invalid_body_reason, retry_after_seconds
from aq_resources.http.rate_limit import SharedRateLimit
from aq_resources.network_client import Pull
from aq_resources.network_toolkit.pulls import MAX_PAGES, kept_pull
from aq_resources.networks.openaq.bodies import refusal_hint, rows_in
from aq_resources.networks.openaq.settings import TITLE, NetworkSettings
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import Window

# The most rows of one page.
PAGE = 1000
# As long as the hourly limit may make a run wait.
PATIENCE_SECONDS = 3700.0
# Whoever is in a hurry gives up so soon.
HURRIED_TIMEOUT_SECONDS, HURRIED_PATIENCE_SECONDS = 8.0, 1.0


class Api:
    """OpenAQ's interface, asked by all processes of an AQ_HOME within one limit."""

    def __init__(
        self, own: NetworkSettings, settings: Settings, folder: Path, now: Callable[[], datetime]
    ) -> None:
        self.url = own.url.rstrip("/")
        self.limit = SharedRateLimit(
            TITLE,
            folder / "requests.json",
            ((own.requests_per_minute, 60), (own.requests_per_hour, 3600)),
        )
        self._key = own.api_key
        self._now = now
        timeout = settings.http_timeout_seconds
        self.http = self._open(timeout, settings.http_attempts, PATIENCE_SECONDS)
        self.hurried_http = self._open(
            min(HURRIED_TIMEOUT_SECONDS, timeout), 1, HURRIED_PATIENCE_SECONDS
        )

    def _open(self, timeout: float, attempts: int, patience: float) -> HttpClient:
        key = self._key
        return HttpClient(
            TITLE,
            timeout=timeout,
            attempts=attempts,
            refusal_hint=lambda response: refusal_hint(response, with_key=key is not None),
            headers={"X-API-Key": key.get_secret_value()} if key else None,
            on_request=lambda _: self.limit.acquire(patience),
            asked_wait=self._asked_wait,
        )

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """Seconds left of the server's minute: a reset is no instant here."""
        wait = retry_after_seconds(
            response.headers.get("Retry-After") or response.headers.get("x-ratelimit-reset")
        )
        if wait is not None and response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self.limit.close_for(wait)
        return wait

    def ask(
        self,
        source: str,
        path: str,
        params: dict[str, str],
        window: Window,
        *,
        hurried: bool = False,
        lost: Callable[[RawAnswer], str | None] = lambda answer: None,
    ) -> Pull:
        """Send one request.

        Args:
            source: What is asked about, for messages.
            path: Below the base of the interface.
            params: The query.
            window: The hours asked for.
            hurried: Whether to give up soon, as a sensor must.
            lost: As for `kept_pull`.

        Returns:
            Its outcome.
        """
        url = f"{self.url}{path}"
        http = self.hurried_http if hurried else self.http
        return kept_pull(
            source,
            url,
            params,
            window,
            self._now,
            lambda: http.get(url, params, invalid_body_reason),
            lost,
            title=TITLE,
        )

    def pages(
        self,
        source: str,
        path: str,
        params: dict[str, str],
        window: Window,
        lost: Callable[[RawAnswer], str | None] = lambda answer: None,
    ) -> Iterator[Pull]:
        """Send requests for pages until one is not full.

        How many were `found` is no number to rely on.

        Args:
            source: What is asked about, for messages.
            path: Below the base of the interface.
            params: The query, without the page.
            window: The hours asked for.
            lost: As for `kept_pull`.

        Returns:
            One outcome a page.
        """
        before = None
        for page in range(1, MAX_PAGES + 1):
            asked = {**params, "limit": str(PAGE), "page": str(page)}
            pull = self.ask(source, path, asked, window, lost=lost)
            if pull.failure is not None or pull.answer is None:
                yield pull
                return
            rows = rows_in(pull.answer.body)
            full = len(rows) >= PAGE
            if full and (rows == before or page == MAX_PAGES):
                said = f"{TITLE} sent the same page twice, or more than {MAX_PAGES}: it has no end"
                yield Pull(source, pull.answer, TransientFailure(said))
                return
            yield pull
            if not full:
                return
            before = rows

    def close(self) -> None:
        """Give connections back."""
        self.http.close()
        self.hurried_http.close()
