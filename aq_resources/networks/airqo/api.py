"""How AirQo is asked: with the token in the query, within its limit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from datetime import datetime
from typing import Any

import httpx

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import MAX_WAIT_SECONDS, HttpClient, RefusedRequest
from aq_resources.http.rate_limit import SharedRateLimit
from aq_resources.network_client import Pull
from aq_resources.network_toolkit.bodies import as_dict, as_number
from aq_resources.network_toolkit.pulls import kept_pull
from aq_resources.networks.airqo.bodies import (
    decoded,
    error_kind,
    invalid_body_reason,
    lost_reason,
    refusal_hint,
)
from aq_resources.networks.airqo.settings import TITLE, NetworkSettings
from aq_resources.settings import Settings
from aq_science.windows import Window

NEWEST_TIMEOUT_SECONDS = 8.0
# How AirQo wants a time.
ASKED = "%Y-%m-%dT%H:%M:%S.000Z"


class Api:
    """AirQo's interface: `http` for most calls, `download_http` for those that are counted,
    `newest_http` for a sensor that must not wait.
    """

    def __init__(self, own: NetworkSettings, settings: Settings, now: Callable[[], datetime]):
        self.url = own.url.rstrip("/")
        self._now = now
        self._token = own.token
        self._client_secret = own.client_secret
        self.limit = SharedRateLimit(
            TITLE, settings.home / "limits" / "airqo.json", ((own.historical_per_minute, 60),)
        )
        timeout, attempts = settings.http_timeout_seconds, settings.http_attempts
        # The download alone is counted; a block is for every call.
        counted, uncounted = self.limit.acquire, self.limit.wait_until_open
        self.http = self._open(uncounted, MAX_WAIT_SECONDS, timeout, attempts)
        self.download_http = self._open(counted, MAX_WAIT_SECONDS, timeout, attempts)
        self.newest_http = self._open(uncounted, 0.0, min(NEWEST_TIMEOUT_SECONDS, timeout), 1)

    def _open(
        self, wait: Callable[[float], None], patience: float, timeout: float, attempts: int
    ) -> HttpClient:
        secret = self._client_secret
        return HttpClient(
            TITLE,
            timeout=timeout,
            attempts=attempts,
            auth=_TokenInQuery(self._token.get_secret_value()) if self._token else None,
            headers={"X-Client-Secret": secret.get_secret_value()} if secret else None,
            refusal_hint=refusal_hint,
            on_request=lambda _: wait(patience),
            asked_wait=self._asked_wait,
        )

    def get(
        self, path: str, params: dict[str, str], http: HttpClient | None = None
    ) -> dict[str, Any]:
        """Ask for something else than readings.

        Args:
            path: Below the base of the interface.
            params: The query.
            http: One of this object's clients; `http` by default.

        Returns:
            The body.

        Raises:
            TransientFailure: AirQo cannot be asked now.
            PermanentFailure: AirQo refuses.
        """
        return decoded(self._send(http or self.http, f"{self.url}{path}", params, None).text)

    def ask(
        self,
        source: str,
        path: str,
        params: dict[str, str],
        window: Window,
        http: HttpClient,
        post: dict[str, Any] | None = None,
    ) -> tuple[Pull, dict[str, Any] | None]:
        """Send one request for readings.

        Args:
            source: What is asked about, for messages.
            path: Below the base of the interface.
            params: Stand in the answer kept; sent where there is nothing to post.
            window: The hours asked for.
            http: One of this object's clients.
            post: The body of a POST.

        Returns:
            The outcome, and the body if it is a sound one.
        """
        url = f"{self.url}{path}"
        pull = kept_pull(
            source,
            url,
            params,
            window,
            self._now,
            lambda: self._send(http, url, params, post),
            title=TITLE,
        )
        if pull.answer is None:
            return pull, None
        body = decoded(pull.answer.body)
        refused = isinstance(pull.failure, RefusedRequest)
        if post is not None and refused and error_kind(body) == "no_data":
            # The download's way of saying that there are no records.
            return Pull(source, pull.answer), None
        return pull, body if pull.failure is None else None

    def close(self) -> None:
        """Give the connections back."""
        for http in (self.http, self.download_http, self.newest_http):
            http.close()

    def _send(
        self, http: HttpClient, url: str, params: dict[str, str], post: dict[str, Any] | None
    ) -> httpx.Response:
        if self._token is None:
            raise PermanentFailure("AirQo wants a token: set AQ_AIRQO_TOKEN (nexus.airqo.net).")
        if post is None:
            response = http.get(url, params, invalid_body_reason)
        else:
            response = http.post(url, post, invalid_body_reason)
        if error_kind(decoded(response.text)) is not None:
            raise RefusedRequest(
                f"{TITLE} refuses {url} by a {response.status_code}. {refusal_hint(response)}",
                response,
            )
        return response

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """The wait that a 429 states in its body; kept for every process."""
        if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            return None
        errors = as_dict(decoded(response.text).get("errors"))
        for key in ("blocked_for_seconds", "retry_after_seconds"):
            stated = as_number(errors.get(key))
            if stated is not None:
                wait = max(0.0, stated)
                self.limit.close_for(wait)
                return wait
        return None


def broken(pull: Pull, problem: str) -> Pull:
    """The pull, failed: its body is whole, and not (all of) what was asked for."""
    return Pull(pull.source, pull.answer, TransientFailure(f"{TITLE} sent {problem}"))


def without_loss(pull: Pull, devices: Collection[str] = ()) -> Pull:
    """The pull, failed where its sound answer brings nothing of what was asked (`lost_reason`)."""
    if pull.answer is None or pull.failure is not None or pull.answer.status != httpx.codes.OK:
        return pull
    reason = lost_reason(pull.answer, devices)
    return pull if reason is None else broken(pull, reason)


class _TokenInQuery(httpx.Auth):
    """Puts the token into the address as the request leaves."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Httpx's hook."""
        bare = request.url
        request.url = bare.copy_set_param("token", self._token)
        try:
            yield request
        finally:
            # Whatever looks at the request later, such as an error's text, sees no token.
            request.url = bare
