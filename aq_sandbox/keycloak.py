"""The part of a Keycloak realm that AirQino's clients use: password and refresh-token grants."""

import secrets
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from aq_sandbox.clock import SandboxClock
from aq_sandbox.config import SandboxConfig

REFRESH_SECONDS = 1800
_TOKENS_KEPT = 10_000


class TokenDesk:
    """Issues tokens and says which of them are good, by the sandbox's clock."""

    def __init__(self, config: SandboxConfig, clock: SandboxClock) -> None:
        self._config = config
        self._clock = clock
        self._access: dict[str, datetime] = {}
        self._refresh: dict[str, datetime] = {}

    def admits(self, request: Request) -> bool:
        """Whether the request carries an unexpired access token, or none is asked for."""
        if not self._config.auth:
            return True
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_good(self._access, token)

    async def token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        fields = {name: values[-1] for name, values in form.items()}
        config = self._config
        client = (fields.get("client_id"), fields.get("client_secret"))
        if client != (config.client_id, config.client_secret):
            return _refusal(401, "unauthorized_client", "Invalid client or client credentials")
        match fields.get("grant_type"):
            case "password":
                user = (fields.get("username"), fields.get("password"))
                if user != (config.username, config.password):
                    return _refusal(401, "invalid_grant", "Invalid user credentials")
            case "refresh_token":
                if not self._is_good(self._refresh, fields.get("refresh_token", "")):
                    return _refusal(400, "invalid_grant", "Token is not active")
            case _:
                return _refusal(400, "unsupported_grant_type", "Unsupported grant_type")
        return JSONResponse(
            {
                "access_token": self._issue(self._access, config.token_seconds),
                "expires_in": config.token_seconds,
                "refresh_token": self._issue(self._refresh, REFRESH_SECONDS),
                "refresh_expires_in": REFRESH_SECONDS,
                "token_type": "Bearer",
                "scope": fields.get("scope", "openid"),
            }
        )

    def _issue(self, issued: dict[str, datetime], seconds: int) -> str:
        token = secrets.token_urlsafe(24)
        issued[token] = self._clock.now() + timedelta(seconds=seconds)
        if len(issued) > _TOKENS_KEPT:
            del issued[next(iter(issued))]
        return token

    def _is_good(self, issued: dict[str, datetime], token: str) -> bool:
        expiry = issued.get(token)
        return expiry is not None and self._clock.now() < expiry


def _refusal(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)
