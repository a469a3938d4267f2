"""Questions to OpenAQ's interface: with the key, within the limit, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import httpx
import msgspec

from aq_resources.http import HttpClient, broken_json, retry_after_seconds
from aq_resources.networks._client import Pull, kept_pull
from aq_resources.networks.openaq.bodies import rows_in, subject, text
from aq_resources.networks.openaq.settings import TITLE, WITHOUT_KEY, NetworkSettings
from aq_resources.rate_limit import SharedRateLimit
from aq_resources.settings import Settings
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
            explain=lambda response: explain(response, with_key=key is not None),
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
        what: str,
        path: str,
        params: dict[str, str],
        window: Window,
        *,
        hurried: bool = False,
    ) -> Pull:
        """Outcome of one question."""
        url = f"{self.url}{path}"
        http = self.hurried_http if hurried else self.http
        return kept_pull(
            what, url, params, window, self._now, lambda: http.get(url, params, broken_json)
        )

    def pages(self, what: str, path: str, params: dict[str, str], window: Window) -> Iterator[Pull]:
        """Pages until one is not full; how many were ``found`` is no number to rely on."""
        page = 1
        while True:
            asked = {**params, "limit": str(PAGE), "page": str(page)}
            pull = self.ask(what, path, asked, window)
            yield pull
            if pull.failure is not None or pull.answer is None:
                return
            if rows_in(pull.answer.body) < PAGE:
                return
            page += 1

    def close(self) -> None:
        """Give connections back."""
        self.http.close()
        self.hurried_http.close()


_REFUSALS = {
    401: "Check AQ_OPENAQ_API_KEY.",
    403: "OpenAQ has blocked this AQ_OPENAQ_API_KEY: write to dev@openaq.org.",
    410: "That version of the interface is retired: AQ_OPENAQ_URL must end in /v3.",
}


def explain(response: httpx.Response, *, with_key: bool) -> str:
    """What to do about a refusal."""
    if response.status_code == 401 and not with_key:
        return WITHOUT_KEY
    if response.status_code == 404 and "/locations/" in response.url.path:
        station = subject(str(response.url))
        return f"OpenAQ knows no location {station!r}: correct networks.openaq.stations."
    if response.status_code == 422:
        return f"It says: {_complaint(response.text)}"
    return _REFUSALS.get(response.status_code, "")


def _complaint(body: str) -> str:
    """What a 422 complains of; it comes as a list, as text, and as JSON within text."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:200]
    detail = decoded.get("detail", decoded) if isinstance(decoded, dict) else decoded
    if isinstance(detail, list):
        said = [text(part, "msg") for part in detail]
        detail = "; ".join(part for part in said if part) or detail
    return str(detail)[:200]
