"""Mosquitto, Debian's MQTT broker, with the configuration that `deploy/` has for it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.servers.process import (
    HOST,
    OwnedProcess,
    clean_environment,
    free_ports,
    owned_process,
    with_other_ports,
)

DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"
# Debian has it where only root looks.
PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
MISSING = "mosquitto is not here: apt-get install mosquitto"


class Broker:
    """A broker whose users' passwords are their names, to be stopped and started again."""

    def __init__(self, owned: OwnedProcess, users: Mapping[str, str]) -> None:
        self.owned = owned
        folder = owned.folder
        for name in ("config", "data"):
            (folder / name).mkdir(exist_ok=True)
        shutil.copy(DEPLOY / "acl", folder / "config" / "acl")
        passwords = folder / "data" / "passwd"
        passwords.write_text("".join(f"{name}:{word}\n" for name, word in users.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        self.listen()

    def listen(self) -> None:
        (self.port,) = free_ports(1)
        text = (DEPLOY / "mosquitto.conf").read_text("utf-8")
        assert "listener 1883\n" in text
        text = text.replace("listener 1883\n", f"listener {self.port} {HOST}\n")
        text = text.replace("/mosquitto/", f"{self.owned.folder}/")
        # As root it would become a user who may not write here.
        conf = self.owned.folder / "mosquitto.conf"
        conf.write_text(f"{text}\nuser {getpass.getuser()}\n")
        conf.chmod(0o600)

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def start(self) -> None:
        assert PROGRAM is not None
        self.owned.start(
            [PROGRAM, "-c", str(self.owned.folder / "mosquitto.conf")],
            environment=clean_environment(self.owned.folder),
            answers=self._answers,
        )

    def stop(self) -> None:
        """By SIGTERM, at which it writes what it has."""
        self.owned.stop()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return True
        return False


@contextlib.contextmanager
def mosquitto(*users: str) -> Iterator[Broker]:
    """A broker with these users and the platform's own, up until the end of the block."""
    with owned_process("aq-mqtt-", signal.SIGTERM) as owned:

        def attempt() -> Broker:
            broker = Broker(owned, {name: name for name in ("aq", *users)})
            broker.start()
            return broker

        yield with_other_ports(attempt)
