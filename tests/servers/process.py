"""The processes of the test servers: started with a time-out, watched, and never left behind.

Each server listens on 127.0.0.1 on ports that were free, keeps what it writes in one temporary
folder, and is stopped by the id of its own process group. A small guard process (this same file,
run as a script) holds the end of a pipe: when the test process goes away without cleaning up
(SIGKILL, `os._exit` of a timeout plugin, a second Ctrl-C), the guard stops the server and removes
the folder.

Only the standard library is imported, so that the guard starts quickly.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

Server = TypeVar("Server")

HOST = "127.0.0.1"

# As patient as the tests; the guard runs this file by itself, which finds no other of them.
START_TIMEOUT_S = 1800.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.05
# Below the ephemeral range of Linux: no outgoing connection takes the port during an outage test.
_PORTS = range(20_000, 32_000)


class ServerStartError(RuntimeError):
    """The server ended or did not answer in time; the message carries the end of its log."""


def free_ports(count: int) -> list[int]:
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


class OwnedProcess:
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
        patience_s: float = START_TIMEOUT_S,
    ) -> None:
        """Start the server and wait until it answers; stopped again when it does not.

        Args:
            command: What is started.
            environment: All of its environment.
            answers: Whether it does.
            user: As whom it runs; as this process without.
            patience_s: How long it may take to answer.
        """
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
                **as_user(user),
            )
        self._tell_guard(f"group {self._server.pid}")
        try:
            self._wait(answers, patience_s)
        except BaseException:
            self.stop()
            raise

    def _wait(self, answers: Callable[[], bool], patience_s: float) -> None:
        assert self._server is not None
        deadline = time.monotonic() + patience_s
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
def owned_process(prefix: str, stop_signal: signal.Signals) -> Iterator[OwnedProcess]:
    owned = OwnedProcess(prefix, stop_signal)
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


def as_user(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    import pwd

    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def clean_environment(folder: Path) -> dict[str, str]:
    """Nothing of the caller's (keys, WEED_*, PG*, proxies) and a home that goes with the folder."""
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C",
        "TZ": "UTC",
    }


def with_other_ports(attempt: Callable[[], Server], attempts: int = 3) -> Server:
    """Again on other ports: one may have been taken between choosing and listening."""
    for _ in range(attempts - 1):
        with contextlib.suppress(ServerStartError):
            return attempt()
    return attempt()


# The guard


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
