"""The simulated clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aq_resources.clock import open_clock, system_clock
from aq_resources.failures import SettingsError
from aq_sandbox.clock import SandboxClock

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_is_the_real_one_by_default() -> None:
    assert open_clock("") is system_clock


def test_shows_what_the_sandbox_shows() -> None:
    sandbox = SandboxClock(START, 3600.0)
    ours = open_clock(sandbox.shared())
    assert abs(ours() - sandbox.now()) < timedelta(hours=1) / 20
    assert ours() > START


def test_stands_still_at_speed_0() -> None:
    assert open_clock(SandboxClock(START).shared())() == START


@pytest.mark.parametrize("setting", ["yes", "a/b/1", "2024-03-01/2024-03-01/1", "//"])
def test_explains_a_wrong_setting(setting: str) -> None:
    with pytest.raises(SettingsError, match=r"AQ_CLOCK.*aq sandbox"):
        open_clock(setting)
