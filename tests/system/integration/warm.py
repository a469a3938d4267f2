"""The `aq` command forked from a process that has imported it: a start in no time, else the same.

An import of Dagster and of what a command needs later takes several seconds of CPU, and the tests
start hundreds of commands. What a start itself does is tested by those that launch the real one
(`Installation.start`).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Self

# Not a fork of the tests' process, which has threads.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.garbage", "tests.system.integration.preload"])


class Command:
    """A running `aq` with a process of its own, to be used as a `Popen` is.

    Args:
        command: Path of the command, as its process sees it.
        arguments: Its arguments.
        folder: Its working folder, which exists.
        environment: All of its environment.
    """

    def __init__(
        self,
        command: Path,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._arguments = ["aq", *arguments]
        self._scratch = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._scratch.name) / name for name in ("out", "err"))
        called = [str(command), *arguments]
        self._process = FORKS.Process(
            target=_aq, args=(called, folder, dict(environment), self._out, self._err)
        )
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever it still does ends here."""
        self.kill()
        self._process.join()
        self._scratch.cleanup()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Exit code, None as long as it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to standard output and error, once it has ended.

        Raises:
            TimeoutExpired: It did not end in so many seconds.
        """
        self._process.join(timeout)
        if self._process.is_alive():
            assert timeout is not None
            raise TimeoutExpired(self._arguments, timeout)
        # Killed at once, it may have opened neither.
        out, err = (path.read_text() if path.exists() else "" for path in (self._out, self._err))
        return out, err


def run(
    command: Path,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
) -> CompletedProcess[str]:
    """Run `aq` to its end.

    Args:
        command: Path of the command, as its process sees it.
        arguments: Its arguments.
        folder: Its working folder, which exists.
        environment: All of its environment.
        timeout: After so many seconds it is killed.

    Returns:
        Exit code and what was written.

    Raises:
        TimeoutExpired: It did not end in time.
    """
    with Command(command, arguments, folder, environment) as process:
        out, err = process.communicate(timeout)
        code = process.returncode
        assert code is not None
        return CompletedProcess(["aq", *arguments], code, out, err)


def _aq(
    command: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, number in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = command
    from aq_platform.cli import app

    app()
