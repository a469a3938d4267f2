"""One `aq up` a home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aq_platform.up_lock import only_one
from aq_resources.failures import SettingsError


def test_the_second_is_told_of_the_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with only_one(home, "http://127.0.0.1:3000"):
        # Whoever is refused takes nothing away from the next.
        for _ in range(2):
            with pytest.raises(SettingsError) as refused, only_one(home, "http://127.0.0.1:4000"):
                pass
            said = str(refused.value)
            assert f"process {os.getpid()} on " in said
            assert "with the UI at http://127.0.0.1:3000" in said
            assert "\n" not in said
        with only_one(tmp_path / "other", "http://127.0.0.1:4000"):
            pass
    with only_one(home, "http://127.0.0.1:4000"):
        pass


@pytest.mark.parametrize("note", [None, "", "{", "[]", "{}"])
def test_a_note_that_says_nothing_is_no_obstacle(tmp_path: Path, note: str | None) -> None:
    with only_one(tmp_path, "http://127.0.0.1:3000"):
        (tmp_path / "up.json").unlink()
        if note is not None:
            (tmp_path / "up.json").write_text(note)
        with pytest.raises(SettingsError, match="already: another process"), only_one(tmp_path, ""):
            pass


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    with pytest.raises(SettingsError, match=f"{home} cannot be written"), only_one(home, ""):
        pass
