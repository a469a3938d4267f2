"""Which processes of an AQ_HOME live: each holds a lock file that the kernel frees at its death.

A process number says less: it is given again, and in each container it begins at 1.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from aq_resources.failures import SettingsError

_SUFFIX = ".lock"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say what to do where a folder of the home cannot be written; a lock's time-out passes."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise SettingsError(
            f"{folder} cannot be written ({error.strerror}). Point AQ_HOME at a folder that can."
        ) from error


def own_identity(home: Path) -> str:
    """This process's name among those of the home, which it keeps as long as it lives.

    Raises:
        SettingsError: nothing can be written there.
    """
    # A forked process is another one.
    return _identity(home, os.getpid())


@cache
def _identity(home: Path, pid: int) -> str:
    name = f"{socket.gethostname()}:{pid}:{uuid4().hex[:8]}"
    folder = _folder(home)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _HELD.append(FileLock(folder / (name + _SUFFIX)))
        _HELD[-1].acquire()
    return name


_HELD: list[FileLock] = []


def gone(home: Path) -> Iterator[str]:
    """The identities whose process has ended; each is forgotten once the caller goes on."""
    for path in sorted(_folder(home).glob("*" + _SUFFIX)):
        lock = FileLock(path)
        try:
            with lock.acquire(timeout=0):
                yield path.name.removesuffix(_SUFFIX)
                path.unlink(missing_ok=True)
        except Timeout:
            continue


def _folder(home: Path) -> Path:
    return home / "processes"
