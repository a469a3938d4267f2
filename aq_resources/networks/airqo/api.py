"""How AirQo is asked: with the token in the query, within its limit, its refusals explained."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

import httpx

from aq_resources.failures import PermanentFailure
from aq_resources.http import MAX_WAIT_SECONDS, HttpClient, RefusedRequest
from aq_resources.networks._client import Pull, kept_pull
from aq_resources.networks.airqo.bodies import as_dict, decoded, error_kind, what_is_wrong
from aq_resources.networks.airqo.settings import TITLE, NetworkSettings
from aq_resources.rate_limit import SharedRateLimit
from aq_resources.settings import Settings
from aq_science.windows import Window

NEWEST_TIMEOUT_SECONDS = 8.0
_HINTS: dict[str, str] = {
    "token": (
        "Check AQ_AIRQO_TOKEN (a token is good for some months), AQ_AIRQO_CLIENT_SECRET where the "
        "client has one, and that this machine's address is white-listed at nexus.airqo.net."
    ),
    "tier": "AirQo's subscription does not cover this: readings older than 7 days need Standard.",
    "too_old": "AirQo's measurements reach back 31 days only; older ones come by the download.",
    "no_data": "AirQo knows nothing by that name: correct networks.airqo.stations.",
}


class Api:
    """AirQo's interface: ``http`` for most calls, ``download_http`` for those that are counted,
    ``newest_http`` for a sensor that must not wait.
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
            explain=_explain,
            on_request=lambda _: wait(patience),
            asked_wait=self._asked_wait,
        )

    def get(
        self, path: str, params: dict[str, str], http: HttpClient | None = None
    ) -> dict[str, Any]:
        """One body. Raises `TransientFailure` or `PermanentFailure`."""
        return decoded(self._send(http or self.http, f"{self.url}{path}", params, None).text)

    def ask(
        self,
        subject: str,
        path: str,
        params: dict[str, str],
        window: Window,
        http: HttpClient,
        post: dict[str, Any] | None = None,
    ) -> tuple[Pull, dict[str, Any] | None]:
        """One request for readings: its outcome, and the body if it is a sound one.

        ``params`` stand in the answer kept; they are sent where there is nothing to ``post``.
        """
        url = f"{self.url}{path}"
        pull = kept_pull(
            subject,
            url,
            params,
            window,
            self._now,
            lambda: self._send(http, url, params, post),
        )
        if pull.answer is None:
            return pull, None
        body = decoded(pull.answer.body)
        refused = isinstance(pull.failure, RefusedRequest)
        if post is not None and refused and error_kind(body) == "no_data":
            # The download's way of saying that there are no records.
            return Pull(subject, pull.answer), None
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
            response = http.get(url, params, what_is_wrong)
        else:
            response = http.post(url, post, what_is_wrong)
        if error_kind(decoded(response.text)) is not None:
            raise RefusedRequest(
                f"{TITLE} refuses {url} by a {response.status_code}. {_explain(response)}",
                response,
            )
        return response

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """The wait that a 429 states in its body; kept for every process."""
        if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            return None
        errors = as_dict(decoded(response.text).get("errors"))
        for key in ("blocked_for_seconds", "retry_after_seconds"):
            stated = errors.get(key)
            if isinstance(stated, int | float) and not isinstance(stated, bool):
                wait = max(0.0, float(stated))
                self.limit.close_for(wait)
                return wait
        return None


def _explain(response: httpx.Response) -> str:
    body = decoded(response.text)
    kind = error_kind(body)
    said = " ".join(str(body.get("message") or "").split())[:200]
    if kind is None and response.status_code in (401, 403):
        kind = "token"
    if kind is None and response.status_code == httpx.codes.NOT_FOUND:
        kind = "no_data"
    hint = _HINTS.get(kind or "", "")
    return f"It says: {said!r}. {hint}".rstrip() if said else hint


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
