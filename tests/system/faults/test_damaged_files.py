"""Files damaged on disk: nobody reads them as less, and `aq doctor --deep` makes them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from aq_sandbox.server import RunningSandbox
from tests.system.faults.conftest import COMMAND, DAYS, differences, tables, with_stations
from tests.system.integration.harness import Installation


@pytest.fixture(scope="module")
def worked(_calm_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation that has done its work; the tests leave it as it was."""
    _calm_sandbox.reset()
    installation = with_stations(tmp_path_factory.mktemp("worked"), _calm_sandbox)
    installation.succeed(*COMMAND)
    return installation


def files(installation: Installation, pattern: str) -> list[Path]:
    found = sorted(installation.home.rglob(pattern))
    assert found, pattern
    return found


def lose(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def test_a_damaged_raw_pull_is_named_and_costs_no_reading(
    worked: Installation, undisturbed: dict[str, pl.DataFrame]
) -> None:
    path = files(worked, "objects/airqino/raw_pulls/*/*.jsonl.zst")[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    done = worked.run("doctor", "--deep")
    assert done.returncode == 1
    assert f"{path} is damaged" in done.stdout
    assert "aq backfill NETWORK --start" in done.stdout
    # A pull of the same days stores what it gets; the readings fail by name, and stay as they are.
    again = worked.run(*COMMAND[:-1])
    assert again.returncode == 1
    assert f"{path} is damaged" in again.stdout + again.stderr
    assert differences(tables(worked), undisturbed) == {}
    path.write_bytes(whole)


@pytest.mark.parametrize("damage", [empty, flip], ids=["emptied", "bit flipped"])
def test_a_damaged_hourly_file_is_made_again(
    worked: Installation, undisturbed: dict[str, pl.DataFrame], damage: Callable[[Path], None]
) -> None:
    path = files(worked, "objects/airqino/hourly_readings/*/readings.parquet")[1]
    damage(path)
    done = worked.succeed("doctor", "--deep")
    assert "1 damaged, made again" in done.stdout
    assert str(path) in done.stdout
    assert differences(tables(worked), undisturbed) == {}
    assert "made again" not in worked.succeed("doctor", "--deep").stdout


def test_lost_and_emptied_files_of_the_warehouse_are_made_again(
    worked: Installation, undisturbed: dict[str, pl.DataFrame]
) -> None:
    lost = files(worked, "**/airqino/daily_averages/*.parquet")[-1]
    lost.unlink()
    emptied = files(worked, "**/airqino/forecasts/*.parquet")[0]
    empty(emptied)
    # A write that meets it says what to do.
    again = worked.run("backfill", "airqino", "--start", DAYS[0], "--end", DAYS[1])
    assert again.returncode == 1
    assert "aq doctor --deep" in again.stdout + again.stderr
    done = worked.succeed("doctor", "--deep")
    for path in (lost, emptied):
        assert path.name in done.stdout
    assert differences(tables(worked), undisturbed) == {}
    assert "made again" not in worked.succeed("doctor", "--deep").stdout
    worked.succeed("backfill", "airqino", "--start", DAYS[0], "--end", DAYS[1])
