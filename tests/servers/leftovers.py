"""What tests start ends with them, even where they are killed outright.

Every process inherits a mark in its environment. A guard (this same file, run as a script) holds
the end of a pipe: when the test process goes away without a word, it ends whatever has the mark.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

_MARK = "TESTS_OF"


@contextlib.contextmanager
def ended_with_us() -> Iterator[None]:
    """All processes that this one starts from here on, with all that those start."""
    mark = str(uuid.uuid4())
    guard = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), mark],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    os.environ[_MARK] = mark
    try:
        yield
    finally:
        del os.environ[_MARK]
        guard.communicate(b"end")


def _guard(mark: str) -> None:
    if sys.stdin.read():
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                process.kill()


if __name__ == "__main__":
    _guard(sys.argv[1])
