"""The simulated clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aq_resources.clock import open_clock, system_clock
from aq_resources.failures import SettingsError
from aq_sandbox.clock import SandboxClock

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_is_the_real_one_by_default() -> None:
    assert open_clock("") is system_clock


def test_shows_what_the_sandbox_shows() -> None:
    sandbox = SandboxClock(START, 3600.0)
    began = time.monotonic()
    ours = open_clock(sandbox.shared())
    # How far the two may lie apart: the sandbox reads two clocks one after the other.
    between = timedelta(seconds=(time.monotonic() - began) * 3600 + 1)
    before, shown, after = sandbox.now(), ours(), sandbox.now()
    assert before - between <= shown <= after + between
    assert shown > START


def test_stands_still_at_speed_0() -> None:
    assert open_clock(SandboxClock(START).shared())() == START


def test_follows_a_file(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_text(SandboxClock(START).shared() + "\n")
    ours = open_clock(f"file://{path}")
    assert ours() == START
    path.write_text(SandboxClock(START + timedelta(hours=1)).shared())
    assert ours() == START + timedelta(hours=1)


def test_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"AQ_CLOCK: .*none cannot be read"):
        open_clock(f"file://{tmp_path / 'none'}")


@pytest.mark.parametrize("setting", ["yes", "a/b/1", "2024-03-01/2024-03-01/1", "//"])
def test_explains_a_wrong_setting(setting: str) -> None:
    with pytest.raises(SettingsError, match=r"AQ_CLOCK.*aq sandbox"):
        open_clock(setting)
