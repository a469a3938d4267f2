"""A server that ends with the process that started it, however that ends.

`python -m aq_platform.child FD GATE IMPORTS MODULE …` runs a module as `python -m MODULE …` does.
FD is the reading end of a pipe whose other end that process holds: the system closes it at its
death. GATE is such an end as well: the module runs once the other one is closed, and IMPORTS, names
with commas between, are imported meanwhile.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aq_platform.garbage import look_less_often


class Gate:
    """Holds servers back, with their imports done, until it is opened."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def open(self) -> None:
        """Let them go on."""
        os.close(self._writing)
        os.close(self.reading)


def start(
    command: Sequence[str],
    env: Mapping[str, str],
    gate: Gate | None = None,
    imports: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Run a module with its arguments in a session of its own; it ends when this process does.

    Args:
        command: The module's name, and its arguments.
        env: Its environment.
        gate: What it waits for; nothing without.
        imports: Names of modules that it needs, to be imported before that.

    Returns:
        The process, whose number is its group's as well.
    """
    reading, writing = os.pipe()
    _HELD.append(writing)
    held = [] if gate is None else [gate.reading]
    place = [str(reading), *(map(str, held) if held else "-"), ",".join(imports)]
    try:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, *place, *command],
            env=dict(env),
            pass_fds=[reading, *held],
            # Their own group: Ctrl-C reaches this process alone, which stops them in order.
            start_new_session=True,
        )
    finally:
        os.close(reading)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a server has left behind: a code server's own children may outlive it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


# Open as long as this process lives.
_HELD: list[int] = []


def _end_with_it(reading: int) -> None:
    while os.read(reading, 1):
        pass
    # Hard, as that end was: a code server's child is deaf to SIGTERM, and what is half done is
    # done again by whoever comes next.
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Run the module that the command line names."""
    look_less_often()
    reading, gate, imports, module, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_it, args=(int(reading),), daemon=True).start()
    for name in filter(None, imports.split(",")):
        importlib.import_module(name)
    if gate != "-":
        os.read(int(gate), 1)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
