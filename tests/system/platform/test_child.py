"""Servers end with the process that started them, killed hard, and so do their own children."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.system.running import wait_until

# A server that is deaf to SIGTERM, and has a child that is so too.
DEAF = """
import json, os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[-1] != "child":
    below = subprocess.Popen([sys.executable, __file__, "child"])
    print(json.dumps([os.getpid(), below.pid]), flush=True)
time.sleep(10_000)
"""
PARENT = """
import os, sys, time
from aq_platform import child
process = child.start(["deaf"], dict(os.environ))
if sys.argv[1] == "stop":
    sys.stdin.readline()
    process.terminate()
    child.end_group(process)
    process.wait()
time.sleep(10_000)
"""

TESTS = """
import subprocess, sys, time
from tests.servers.leftovers import ended_with_us
with ended_with_us():
    subprocess.Popen([sys.executable, "-m", "deaf"], start_new_session=True)
    time.sleep(10_000)
"""


def started(
    folder: Path, how: str, parent_code: str = PARENT
) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """The parent, and what runs below it."""
    (folder / "deaf.py").write_text(DEAF)
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code, how],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{folder}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    numbers = json.loads(parent.stdout.readline())
    return parent, [psutil.Process(number) for number in numbers]


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("code", [PARENT, TESTS], ids=["platform", "tests"])
def test_a_parent_killed_hard_leaves_nothing_behind(tmp_path: Path, code: str) -> None:
    parent, below = started(tmp_path, "be killed", code)
    with parent:
        assert not any(gone(one) for one in below)
        parent.kill()
        for one in below:
            wait_until(partial(gone, one), pause=0.05)


def test_a_server_that_is_stopped_leaves_no_child_behind(tmp_path: Path) -> None:
    parent, below = started(tmp_path, "stop")
    with parent:
        assert parent.stdin is not None
        parent.stdin.write("\n")
        parent.stdin.flush()
        for one in below:
            wait_until(partial(gone, one), pause=0.05)
        parent.kill()
