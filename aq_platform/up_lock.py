"""One `aq up` a home: a second would start every run twice."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from aq_platform.processes import writing
from aq_resources.failures import SettingsError


@contextmanager
def only_one(home: Path, url: str) -> Iterator[None]:
    """Hold the home's lock for the block; the system gives it back however the process ends.

    Args:
        home: `AQ_HOME`.
        url: Where the UI will be, for whoever comes second.

    Raises:
        SettingsError: another process holds it (named), or the folder cannot be written.
    """
    try:
        with writing(home):
            home.mkdir(parents=True, exist_ok=True)
            lock = FileLock(home / "up.lock")
            lock.acquire(timeout=0)
    except Timeout:
        raise SettingsError(
            f"`aq up` runs on {home} already: {_holder(home)}. Stop that one first (Ctrl-C there, "
            "or `kill` and its number), or set AQ_HOME to another folder."
        ) from None
    try:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "url": url}
        # Beside the lock: who looks for the lock empties its file.
        _note(home).write_text(json.dumps(holder), "utf-8")
        yield
    finally:
        lock.release()


def _holder(home: Path) -> str:
    try:
        found = json.loads(_note(home).read_text("utf-8"))
        return f"process {found['pid']} on {found['host']}, with the UI at {found['url']}"
    except (OSError, ValueError, KeyError, TypeError):
        # It has only just begun.
        return "another process"


def _note(home: Path) -> Path:
    return home / "up.json"
