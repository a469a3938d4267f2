"""What a run prints, shown by a `tail` that sees for itself whether the run is still there.

Dagster starts a Python of its own beside each, which ends it where the run was killed; a run has
two, and the tests have a thousand runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from dagster._core.execution import compute_logs


@contextmanager
def _tail(path: str, stream: TextIO) -> Iterator[tuple[int, None]]:
    # As Dagster does it.
    shown = stream if compute_logs._fileno(stream) else None  # type: ignore[no-untyped-call]
    command = ["tail", f"--pid={os.getpid()}", "-F", "-c", "+0", path]
    with subprocess.Popen(command, stdout=shown) as tail:
        try:
            yield tail.pid, None
        finally:
            tail.terminate()


def look_after_themselves() -> None:
    """In this process, from here on; only GNU's can."""
    if sys.platform == "linux":
        compute_logs.execute_posix_tail = _tail
