"""JetStream as the home of pushed readings: where it is, and the stream that they wait in.

A message is the frames of one UTC day that one group commit brought; its subject is
`<stream>.<YYYY-MM-DD>`. Everything else is small and stands in a key-value bucket beside it: which
sequences of a day are a segment, its state, and what the drains share.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aq_resources.failures import SettingsError
from aq_resources.http.secrets import keep_secret
from aq_resources.spool.writer import SpoolUnavailable

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.client import JetStreamContext
    from nats.js.kv import KeyValue

STREAM = "AQ_DEVICES"
# A message sent again with the same id within this time is one message.
DUPLICATE_SECONDS = 120.0
# Longest time to wait for a connection, and for an answer.
CONNECT_SECONDS, ANSWER_SECONDS = 10, 10.0
# The bucket's room is beside that of the stream: one that is full must not stop its drain.
_BUCKET_BYTES = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Address:
    """Servers, and the name of the stream on them."""

    servers: tuple[str, ...]
    stream: str
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str, token: str | None) -> Address:
        """Read an address.

        Args:
            url: `nats://host:4222`, `tls://…` for an encrypted connection; several hosts with
                commas between them, another stream than `AQ_DEVICES` as the path.
            token: The servers' token.

        Raises:
            ValueError: It is none.
        """
        parts = urlsplit(url)
        stream = parts.path.strip("/") or STREAM
        hosts = [host for host in parts.netloc.split(",") if host]
        if parts.scheme not in ("nats", "tls") or not hosts or not _NAME.fullmatch(stream):
            raise ValueError("must be a folder, or nats://host:4222 or tls://host:4222")
        if token:
            keep_secret(token)
        return cls(tuple(f"{parts.scheme}://{host}" for host in hosts), stream, token)

    def subject(self, day: date) -> str:
        """Subject of a day's messages."""
        return f"{self.stream}.{day}"

    def __str__(self) -> str:
        return f"{', '.join(self.servers)} (stream {self.stream})"


def library() -> Any:
    """The package `nats`.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        import nats.aio.client
        import nats.js
    except ModuleNotFoundError:
        raise SettingsError(
            "AQ_DEVICES_SPOOL names JetStream, and nats-py is not installed: "
            "pip install '.[jetstream]'."
        ) from None
    return nats


async def connect(address: Address, *, reconnect: bool, seconds: float = CONNECT_SECONDS) -> Client:
    """A connection.

    Args:
        address: Where to.
        reconnect: Whether it is made again whenever it breaks.
        seconds: How long to try.

    Returns:
        The connection.

    Raises:
        SpoolUnavailable: No server answers as it should.
    """
    nats = library()
    client: Client = nats.aio.client.Client()
    try:
        # The client itself would go round the servers without end.
        async with asyncio.timeout(seconds):
            await client.connect(
                list(address.servers),
                name="aq",
                token=address.token,
                connect_timeout=CONNECT_SECONDS,
                allow_reconnect=reconnect,
                reconnect_time_wait=0.2,  # type: ignore[arg-type,unused-ignore]
                max_reconnect_attempts=-1 if reconnect else 1,
                error_cb=_quiet,
            )
    except (TimeoutError, OSError, nats.errors.Error) as error:
        reason = client.last_error or error
        await client.close()
        raise unavailable(address, reason) from error
    return client


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[JetStreamContext]:
    """JetStream for some requests that belong together.

    Raises:
        SpoolUnavailable: It does not answer as it should.
    """
    nats = library()
    client = await connect(address, reconnect=False)
    try:
        yield client.jetstream(timeout=ANSWER_SECONDS)
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise unavailable(address, error) from error
    finally:
        await client.close()


async def ensure_bucket(js: JetStreamContext, address: Address) -> KeyValue:
    """The bucket beside the stream, made where there is none.

    Args:
        js: The connection.
        address: Names the stream, and so the bucket.
    """
    from nats.js.api import StorageType
    from nats.js.errors import BucketNotFoundError

    try:
        return await js.key_value(address.stream)
    except BucketNotFoundError:
        return await js.create_key_value(
            bucket=address.stream, storage=StorageType.FILE, max_bytes=_BUCKET_BYTES
        )


async def ensure_stream(js: JetStreamContext, address: Address, most_bytes: int) -> None:
    """Make the stream, or see that the one there loses nothing.

    Args:
        js: The connection.
        address: Names the stream.
        most_bytes: What may wait in it: a full stream refuses.

    Raises:
        SpoolUnavailable: The stream there lets messages go.
    """
    from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
    from nats.js.errors import NotFoundError

    try:
        found = (await js.stream_info(address.stream)).config
    except NotFoundError:
        # First: a stream that leaves no room for it could never be drained.
        await ensure_bucket(js, address)
        await js.add_stream(
            StreamConfig(
                name=address.stream,
                description="Readings that devices have pushed, until they are in the tables",
                subjects=[f"{address.stream}.*"],
                storage=StorageType.FILE,
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.NEW,
                max_bytes=most_bytes,
                duplicate_window=DUPLICATE_SECONDS,
            )
        )
        return
    if (
        found.storage != StorageType.FILE
        or found.retention != RetentionPolicy.LIMITS
        or found.discard != DiscardPolicy.NEW
        or found.max_age
    ):
        raise SpoolUnavailable(
            f"The stream at {address} would let go of what was acknowledged: it needs file "
            "storage, retention by limits, discard `new` and no maximum age."
        )
    if found.max_bytes != most_bytes:
        await js.update_stream(found.evolve(max_bytes=most_bytes))


def unavailable(address: Address, error: BaseException) -> SpoolUnavailable:
    """What to say of a server that does not do as asked."""
    # The client's own errors say nothing by their names.
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return SpoolUnavailable(f"JetStream at {address} fails ({reason}). Is the server up, with -js?")


async def _quiet(_: Exception) -> None:
    """What goes wrong is said by who asked."""
