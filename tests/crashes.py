"""Where a process of the run crashed, said at the end of the run: a worker's own words are lost."""

from __future__ import annotations

import faulthandler
import os
import shutil
import tempfile
from itertools import takewhile
from pathlib import Path

import pytest

_FOLDER = "TESTS_CRASHES"


class Crashes:
    """A plugin of the run and of each of its workers, which write where they crash into a file."""

    def __init__(self) -> None:
        # Workers inherit the name.
        self._mine = _FOLDER not in os.environ
        if self._mine:
            os.environ[_FOLDER] = tempfile.mkdtemp(prefix="aq-crashes-")
        self._folder = Path(os.environ[_FOLDER])
        self._file = (self._folder / f"{os.getpid()}.txt").open("w")

    def pytest_sessionstart(self) -> None:
        """Take the place of pytest's own, which every start of a process sets up."""
        faulthandler.enable(self._file)

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        faulthandler.disable()
        self._file.close()
        if self._mine:
            shutil.rmtree(self._folder)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show every crash, without the list of all loaded modules behind it."""
        for path in sorted(self._folder.glob("*.txt")):
            lines = path.read_text("utf-8").splitlines()
            if lines:
                terminalreporter.section(f"process {path.stem} crashed", red=True)
            for line in takewhile(lambda line: not line.startswith("Extension modules"), lines):
                terminalreporter.write_line(line)
