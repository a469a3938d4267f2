"""Who may ask, and how often: by key, or by address.

A limit is a rate with room for a burst of `BURST_SECONDS`. How far each sender is ahead of it
stands in a table that all processes of a server share; a sender's place in it follows from a keyed
hash.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from time import monotonic

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from aq_serving.keys import ApiKeys
from aq_serving.problems import ProblemError, too_many, unauthorized

BURST_SECONDS = 10.0
# What a server hands over with a request: its peer; and what it is handed back.
PEER, COUNTED = "aq.peer", "aq.counted"
# Whoever watches the server has no key.
_FREE = ("/healthz", "/readyz")
# Names the file in which all processes of a server count.
_RATES_FILE = "_AQ_RATES"
_SLOTS = 2**20
_SECRET_BYTES = 32
_DOUBLE = 8


# A sender's place in the table, and its rate in requests a second.
Counted = tuple[int, float]


class SharedRates:
    """How far each sender is ahead of its rate (the generic cell rate algorithm).

    Two processes that count at the same moment may lose one of both; what is lost is a request.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Of a file that `shared_rates` made; of this process alone without one."""
        size = _SECRET_BYTES + _SLOTS * _DOUBLE
        if path is None:
            self._memory = mmap.mmap(-1, size)
            self._memory[:_SECRET_BYTES] = secrets.token_bytes(_SECRET_BYTES)
        else:
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), size)
        self._secret = bytes(self._memory[:_SECRET_BYTES])
        self._times = memoryview(self._memory)[_SECRET_BYTES:].cast("d")

    @classmethod
    def of_server(cls) -> SharedRates:
        """Those in which all processes of this server count; of this one alone without others."""
        path = os.environ.get(_RATES_FILE)
        return cls(Path(path) if path else None)

    def slot(self, sender: str) -> int:
        """The sender's place."""
        digest = hashlib.blake2b(sender.encode(), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big") % _SLOTS

    def wait(self, slot: int, rate: float) -> float:
        """Count a request; seconds to wait before it may come, 0 where it may."""
        ahead = self.ahead(slot)
        if not ahead:
            self.count(slot, rate, 1)
        return ahead

    def ahead(self, slot: int) -> float:
        """Seconds until the sender may come again; 0 where it may now."""
        return max(0.0, self._times[slot] - monotonic() - BURST_SECONDS)

    def count(self, slot: int, rate: float, number: int) -> None:
        """Count what came, whether or not it may: of a batch the size shows only then.

        Args:
            slot: The sender's place.
            rate: What it may bring in a second.
            number: How much came.
        """
        self._times[slot] = max(self._times[slot], monotonic()) + number / rate


@contextmanager
def shared_rates() -> Iterator[None]:
    """A file in which all processes that are started count, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="aq-rates-") as folder:
        path = Path(folder) / "rates"
        with path.open("wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            # Sparse: a place that no sender has takes no room.
            file.truncate(_SECRET_BYTES + _SLOTS * _DOUBLE)
        os.environ[_RATES_FILE] = str(path)
        try:
            yield
        finally:
            del os.environ[_RATES_FILE]


class Limits:
    """The layer before all others."""

    def __init__(
        self,
        app: ASGIApp,
        keys: ApiKeys,
        rates: SharedRates,
        *,
        key_required: bool,
        key_rate: float,
        address_rate: float,
    ) -> None:
        """In front of an application.

        Args:
            app: Gets what may come in.
            keys: Those that there are.
            rates: Counts.
            key_required: Whether a request needs a key.
            key_rate: Requests a second of a key; 0 for any number.
            address_rate: Requests a second of an address; 0 for any number.
        """
        self._app = app
        self._keys = keys
        self._rates = rates
        self._key_required = key_required
        self._key_rate = key_rate
        self._address_rate = address_rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or refuse."""
        if scope["type"] == "http" and scope["path"] not in _FREE:
            try:
                self._let_in(scope)
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def of_address(self, address: str) -> Counted:
        """Where requests of an address count."""
        return self._rates.slot(sender_of(address)), self._address_rate

    def may(self, counted: Counted) -> bool:
        """Count a request that is answered without the layers; whether it may come."""
        slot, rate = counted
        return not rate or not self._rates.wait(slot, rate)

    def _let_in(self, scope: Scope) -> None:
        extensions = scope.setdefault("extensions", {})
        peer = scope.get("client") or ("", 0)
        key = _key(Request(scope))
        if key is not None:
            name = self._keys.name(key)
            if name is None:
                raise unauthorized("The key is not known: check it, or leave it out.")
            counted = extensions[COUNTED] = self._rates.slot(f"key {name}"), self._key_rate
        elif self._key_required:
            raise unauthorized(
                "This server wants a key: send it in the header `Authorization: Bearer …` or "
                "`X-API-Key`. Whoever runs the server gives keys out."
            )
        else:
            counted = self.of_address(peer[0])
            if extensions.get(PEER) not in (None, tuple(peer)):
                # A proxy in between says whose request it is.
                extensions[COUNTED] = counted
        slot, rate = counted
        if rate and (seconds := self._rates.wait(slot, rate)):
            raise too_many(math.ceil(seconds))


def _key(request: Request) -> str | None:
    named = request.headers.get("x-api-key")
    if named is not None:
        return named
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def sender_of(address: str) -> str:
    """An address; of version 6 its network, of which a subscriber has all addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
