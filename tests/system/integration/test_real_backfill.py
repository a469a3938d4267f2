"""A year of real answers of two stations in Abidjan, through the real command, row by row."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aq_sandbox.server import SandboxConfig, running_sandbox
from tests.system.integration.harness import Installation

STUCK, OTHER = "283164601", "283181971"
EARLIER = ("2022-12-07", "2023-12-06")
LATER = ("2023-09-10", "2024-09-09")
# AirQino's key of every parameter.
KEYS = {
    "CO": "co",
    "NO2": "no2",
    "O3": "o3",
    "PM10": "pm10",
    "PM2.5": "pm25",
    "RH": "humidity",
    "T": "temperature",
}

Row = dict[str, Any]
Reading = tuple[str, str, str]


def recorded(folder: Path, station: str, fetched: str) -> list[Row]:
    content = json.loads((folder / f"{station}_fetched_{fetched}.json").read_text())
    rows: list[Row] = content if isinstance(content, list) else content["data"]
    return rows


def readings(rows: list[Row], station: str, days: tuple[str, str]) -> dict[Reading, float]:
    """(station, parameter, stamp) -> value, of the rows within the days."""
    return {
        (station, parameter, row["timestamp"]): row[key]
        for row in rows
        if days[0] <= row["timestamp"][:10] <= days[1]
        for key, parameter in KEYS.items()
        if row.get(key) is not None
    }


def new_installation(folder: Path, *stations: str) -> Installation:
    return Installation(folder).with_networks(
        airqino={
            "start_date": "2022-12-01",
            "stations": stations,
            "overrides": {station: {"timezone": "Africa/Abidjan"} for station in stations},
        }
    )


@dataclass(frozen=True)
class Stored:
    """What an installation holds."""

    pulls: dict[str, str]
    hourly: dict[str, str]
    daily: pl.DataFrame
    stations: pl.DataFrame

    @classmethod
    def of(cls, installation: Installation) -> Stored:
        return cls(
            installation.files("raw_pulls"),
            installation.files("hourly_readings"),
            installation.table("daily_averages"),
            installation.table("stations"),
        )


@dataclass(frozen=True)
class Twice:
    """An installation that did one thing and then another, and what it held after each."""

    installation: Installation
    first: Stored
    second: Stored
    outputs: tuple[str, str]


@dataclass(frozen=True)
class Backfills:
    repeated: Twice
    rewritten: Twice


@pytest.fixture(scope="module")
def recordings(real_data: Path) -> Path:
    return real_data / "airqino"


@pytest.fixture(scope="module")
def backfills(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backfills]:
    """The later answers twice; and elsewhere the earlier ones, then the later ones.

    At once, since each takes a minute.
    """

    def twice(*steps: tuple[Installation, tuple[str, str]]) -> Twice:
        outputs, states = [], []
        for installation, days in steps:
            outputs.append(installation.backfill(*days))
            states.append(Stored.of(installation))
        return Twice(steps[-1][0], states[0], states[1], (outputs[0], outputs[1]))

    with (
        running_sandbox(SandboxConfig(replay=recordings)) as newest,
        running_sandbox(SandboxConfig(replay=recordings, fetched_by="2023-12")) as older,
        ThreadPoolExecutor(2) as pool,
    ):
        one = new_installation(tmp_path_factory.mktemp("repeated"), STUCK, OTHER)
        now = one.with_settings(**newest.environment)
        repeated = pool.submit(twice, (now, LATER), (now, LATER))
        # The earlier recording is of this station alone.
        two = new_installation(tmp_path_factory.mktemp("rewritten"), STUCK)
        then = two.with_settings(**older.environment)
        now = two.with_settings(**newest.environment)
        rewritten = pool.submit(twice, (then, EARLIER), (now, LATER))
        yield Backfills(repeated.result(), rewritten.result())


@pytest.fixture(scope="module")
def later(recordings: Path) -> dict[Reading, float]:
    """Every reading of both stations that the later answers hold."""
    return {
        key: value
        for station in (STUCK, OTHER)
        for key, value in readings(recorded(recordings, station, "2024-09"), station, LATER).items()
    }


# ------------------------------------------------------------------------------ one year, once


@pytest.mark.parametrize("parameter", ["pm25", "co"])
def test_daily_means_are_the_plain_means_of_the_recorded_rows(
    backfills: Backfills, later: dict[Reading, float], parameter: str
) -> None:
    by_day: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (station, name, stamp), value in later.items():
        if name == parameter:
            by_day[station, stamp[:10]].append(value)
    assert len(by_day) > 600
    rows = backfills.repeated.installation.query(
        "SELECT station_id, date, mean_all_hours, hours_present, hours_expected, unit "
        f"FROM airqino.daily_averages WHERE parameter = '{parameter}'"
    )
    found = {(row["station_id"], row["date"]): row for row in rows}
    assert len(found) == len(rows)
    assert found.keys() == by_day.keys()
    for key, values in by_day.items():
        assert abs(found[key]["mean_all_hours"] - math.fsum(values) / len(values)) <= 1e-9, key
        assert found[key]["hours_present"] == len(values), key
        assert found[key]["hours_expected"] == 24
    assert {row["unit"] for row in rows} == {"µg/m³" if parameter == "pm25" else "mg/m³"}


def test_hourly_readings_are_the_recorded_rows(
    backfills: Backfills, later: dict[Reading, float]
) -> None:
    with backfills.repeated.installation.reader() as connection:
        found = connection.execute(
            "SELECT station_id, parameter, strftime(hour, '%Y-%m-%d %H:%M:%S'), value, "
            "value_native FROM air_quality.hourly_readings"
        ).fetchall()
    assert {row[:3]: row[3] for row in found} == later
    assert all(row[3] == row[4] for row in found)
    assert len(found) == len(later)


def test_every_day_of_the_range_has_its_file(backfills: Backfills) -> None:
    first, last = map(date.fromisoformat, LATER)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    expected = {f"date={day}/readings.parquet" for day in days}
    assert backfills.repeated.first.hourly.keys() == expected


def test_stuck_zeros_never_count(backfills: Backfills, later: dict[Reading, float]) -> None:
    installation = backfills.repeated.installation
    zeros = [key for key, value in later.items() if key[:2] == (STUCK, "co") and value == 0]
    assert len(zeros) > 8000
    assert installation.query(
        "SELECT flag, count(*) AS n FROM airqino.hourly_readings "
        f"WHERE station_id = '{STUCK}' AND parameter = 'co' AND value = 0 GROUP BY flag"
    ) == [{"flag": "suspect", "n": len(zeros)}]
    days = installation.query(
        "SELECT date, mean, minimum, hours_valid, hours_present, mean_all_hours, valid, aqi "
        f"FROM airqino.daily_averages WHERE station_id = '{STUCK}' AND parameter = 'co'"
    )
    with_zeros = {stamp[:10] for _, _, stamp in zeros}
    present = {key[2][:10] for key in later if key[:2] == (STUCK, "co")}
    assert {day["date"] for day in days} == present
    for day in days:
        assert day["mean"] != 0
        assert day["minimum"] != 0
        assert not (day["valid"] and day["date"] in with_zeros), day
        if day["mean_all_hours"] == 0:
            assert day["hours_valid"] == 0
            assert day["mean"] is None
            assert day["aqi"] is None


def test_stations_are_described(backfills: Backfills) -> None:
    rows = backfills.repeated.installation.query(
        "SELECT station_id, name, timezone, len(parameters) AS parameters FROM airqino.stations"
    )
    assert sorted(row["station_id"] for row in rows) == [STUCK, OTHER]
    assert {row["timezone"] for row in rows} == {"Africa/Abidjan"}


def test_one_request_a_station_fetches_the_year(backfills: Backfills) -> None:
    assert "2 requests (0 unchanged)" in backfills.repeated.outputs[0]


# ---------------------------------------------------------------------------------- once more


def test_the_same_backfill_again_changes_nothing(backfills: Backfills) -> None:
    first, second = backfills.repeated.first, backfills.repeated.second
    assert "2 requests (2 unchanged)" in backfills.repeated.outputs[1]
    assert second.pulls == first.pulls
    # The bytes hold pulled_at and revision too.
    assert second.hourly == first.hourly
    assert second.daily.equals(first.daily)
    assert second.stations.equals(first.stations)


# ------------------------------------------------------------------------ history is rewritten


@pytest.fixture(scope="module")
def told_twice(recordings: Path) -> tuple[dict[Reading, float], dict[Reading, float]]:
    return (
        readings(recorded(recordings, STUCK, "2023-12"), STUCK, EARLIER),
        readings(recorded(recordings, STUCK, "2024-09"), STUCK, LATER),
    )


def test_no_pull_is_lost_or_changed(backfills: Backfills) -> None:
    first, second = backfills.rewritten.first.pulls, backfills.rewritten.second.pulls
    assert first
    assert first.items() <= second.items()
    assert len(second) == len(first) + 1


def test_newer_values_win_and_hours_left_out_keep_theirs(
    backfills: Backfills, told_twice: tuple[dict[Reading, float], dict[Reading, float]]
) -> None:
    before, after = told_twice
    changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    assert sum(before[key] < 0 and after[key] == 0 for key in changed) > 500
    with backfills.rewritten.installation.reader() as connection:
        rows = connection.execute(
            "SELECT station_id, parameter, strftime(hour, '%Y-%m-%d %H:%M:%S'), value, revision "
            "FROM airqino.hourly_readings"
        ).fetchall()
    # The command fetched no later row of the days before the second range.
    assert {row[:3]: row[3] for row in rows} == before | after
    assert {row[:3] for row in rows if row[4] == 1} == changed
    assert {row[4] for row in rows} == {0, 1}
    assert f"{len(changed):,} revised" in " ".join(backfills.rewritten.outputs[1].split())


def test_a_value_keeps_the_time_at_which_it_was_first_received(
    backfills: Backfills, told_twice: tuple[dict[Reading, float], dict[Reading, float]]
) -> None:
    before, after = told_twice
    with backfills.rewritten.installation.reader() as connection:
        rows = connection.execute(
            "SELECT station_id, parameter, strftime(hour, '%Y-%m-%d %H:%M:%S'), pulled_at "
            "FROM airqino.hourly_readings"
        ).fetchall()
    times = sorted({row[3] for row in rows})
    assert len(times) == 2
    for *key, pulled_at in rows:
        known = tuple(key)
        assert (pulled_at == times[0]) == (
            known in before and after.get(known, before[known]) == before[known]
        )


def test_days_are_averaged_from_the_newer_values(
    backfills: Backfills, told_twice: tuple[dict[Reading, float], dict[Reading, float]]
) -> None:
    before, after = told_twice
    by_day: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (_, parameter, stamp), value in (before | after).items():
        by_day[parameter, stamp[:10]].append(value)
    rows = backfills.rewritten.second.daily.select("parameter", "date", "mean_all_hours")
    found = {(parameter, str(day)): mean for parameter, day, mean in rows.iter_rows()}
    assert found.keys() == by_day.keys()
    for key, values in by_day.items():
        assert abs(found[key] - math.fsum(values) / len(values)) <= 1e-9, key
