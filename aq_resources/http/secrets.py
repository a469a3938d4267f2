"""Secrets that are shown nowhere: the values of secret settings, and tokens got with them.

Settings hand in every `SecretStr` they read. Answers, failures and httpx's log pass through
`without_secrets`, so that a server which repeats a secret puts it into nothing that is kept.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from urllib.parse import quote, quote_plus

# A shorter one could not be distinguished from data: removing it would change readings.
SHORTEST = 8
REDACTED = b"***"

_settings: dict[str, tuple[bytes, ...]] = {}
# They last for minutes.
_tokens: deque[tuple[bytes, ...]] = deque(maxlen=8)


def keep_secret(value: str) -> None:
    """Show a setting's value nowhere from now on."""
    if len(value.strip()) >= SHORTEST:
        _settings[value.strip()] = spellings(value.strip())


def keep_token(value: str) -> None:
    """Show a token nowhere while it lasts; the newest few are remembered."""
    if len(value) >= SHORTEST:
        _tokens.append(spellings(value))


def spellings(value: str) -> tuple[bytes, ...]:
    """A secret as it is, and as it stands in an address, a form, JSON and base64; longest first."""
    encoded = {quote(value, safe=""), quote(value), quote_plus(value)}
    found = {
        value,
        *encoded,
        *(one.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d") for one in encoded),
        json.dumps(value)[1:-1],
        base64.b64encode(value.encode()).decode(),
    }
    return tuple(sorted((one.encode() for one in found), key=len, reverse=True))


def redact(content: bytes) -> bytes:
    """The content with every known secret replaced by three asterisks; itself where it has none."""
    for forms in (*_settings.values(), *_tokens):
        for form in forms:
            if form in content:
                content = content.replace(form, REDACTED)
    return content


def without_secrets(text: str) -> str:
    """As `redact`, for text."""
    return redact(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
