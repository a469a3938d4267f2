"""AirQino's login: the password grant of Keycloak."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import httpx

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http.secrets import keep_token
from aq_resources.network_toolkit.turns import Turn
from aq_resources.networks.airqino.settings import CHECK_LOGIN, TITLE, NetworkSettings

# Refresh a token this long before it ends, so that it cannot end on the way.
TOKEN_MARGIN_SECONDS = 30.0


class KeycloakPassword(httpx.Auth):
    """OAuth2 password grant of Keycloak, shared by every thread of a client.

    The token is renewed before it ends, with the refresh token where that is still good, and once
    more where the server answers 401 nevertheless.
    """

    def __init__(self, url: str, form: dict[str, str], now: Callable[[], float] = time.monotonic):
        self._url = url
        self._form = form
        self._now = now
        self._turn = Turn()
        self._token = ""
        self._ends = 0.0
        self._refresh_token = ""
        self._refresh_ends = 0.0

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Httpx's hook: sets the bearer token, asking for one where needed."""
        used = yield from self._current(request, stale="")
        request.headers["Authorization"] = f"Bearer {used}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            renewed = yield from self._current(request, stale=used)
            request.headers["Authorization"] = f"Bearer {renewed}"
            yield request

    def _current(
        self, request: httpx.Request, stale: str
    ) -> Generator[httpx.Request, httpx.Response, str]:
        with self._turn.taken():
            now = self._now()
            if self._token not in ("", stale) and now < self._ends - TOKEN_MARGIN_SECONDS:
                return self._token
            if self._refresh_token and not stale and now < self._refresh_ends:
                response = yield self._login(
                    request, {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
                )
                if response.status_code == httpx.codes.OK:
                    return self._accept(response)
            response = yield self._login(request, {"grant_type": "password", "scope": "openid"})
            if response.status_code in (400, 401, 403):
                # Not a RefusedRequest: what a login answers is no answer to keep.
                raise PermanentFailure(
                    f"{TITLE} refuses the login ({response.status_code}). {CHECK_LOGIN}"
                )
            if response.status_code != httpx.codes.OK:
                raise TransientFailure(f"{TITLE}'s login answered {response.status_code}")
            return self._accept(response)

    def _login(self, request: httpx.Request, form: dict[str, str]) -> httpx.Request:
        if form["grant_type"] == "refresh_token":
            own = {key: self._form[key] for key in ("client_id", "client_secret")}
        else:
            own = self._form
        # A request made by hand has no time-out of its own: it takes the one it is made for.
        return httpx.Request(
            "POST", self._url, data={**own, **form}, extensions=dict(request.extensions)
        )

    def _accept(self, response: httpx.Response) -> str:
        # Httpx hands a flow the open answer, its body still to be read.
        response.read()
        try:
            answer = response.json()
            self._token = str(answer["access_token"])
            self._ends = self._now() + float(answer.get("expires_in", 60))
        except (ValueError, KeyError, TypeError):
            raise TransientFailure(f"{TITLE}'s login sent no token") from None
        self._refresh_token = str(answer.get("refresh_token") or "")
        keep_token(self._token)
        keep_token(self._refresh_token)
        self._refresh_ends = self._now() + float(answer.get("refresh_expires_in") or 0)
        return self._token


def login(own: NetworkSettings) -> KeycloakPassword | None:
    """The login of the settings; None without a user name. Raises `SettingsError`."""
    if own.username is None:
        return None
    given = {
        "username": own.username,
        "password": own.password.get_secret_value() if own.password else None,
        "client_id": own.client_id,
        "client_secret": own.client_secret.get_secret_value() if own.client_secret else None,
    }
    if missing := [f"AQ_AIRQINO_{key.upper()}" for key, value in given.items() if value is None]:
        raise SettingsError(f"AQ_AIRQINO_USERNAME is set, so {', '.join(missing)} must be set too.")
    return KeycloakPassword(own.token_url, {key: str(value) for key, value in given.items()})
