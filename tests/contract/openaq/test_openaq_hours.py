"""What an hour is at OpenAQ: full hours of any zone, and means of shorter periods."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from aq_resources.network_client import Parsed, Pull
from aq_resources.networks.openaq.newest import latest_hour
from aq_resources.networks.openaq.parse import read_answers
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.averages import daily_averages
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from aq_science.windows import HOUR
from tests.contract.openaq.test_openaq_parse import ALWAYS, HEADER, kept, location, page, problems

STATION, SENSOR = "5", 51
DAY = date(2026, 1, 10)


def place(zone: str | None = "Asia/Kolkata") -> RawAnswer:
    return kept("/locations/5", page(location(5, (SENSOR, "pm25", "µg/m³"), timezone=zone)))


def hours(zone: str, value: Callable[[int], float], covered: Callable[[int], float]) -> RawAnswer:
    """The 24 hours of `DAY` in `zone`, as `/hours` gives them."""
    first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=ZoneInfo(zone))
    rows: list[Any] = []
    for n in range(24):
        start = (first.astimezone(UTC) + n * HOUR).astimezone(ZoneInfo(zone))
        rows.append(
            {
                "value": value(n),
                "flagInfo": {"hasFlags": False},
                "parameter": {"id": 2, "name": "pm25", "units": "µg/m³"},
                "period": {
                    "interval": "01:00:00",
                    "datetimeFrom": both(start),
                    "datetimeTo": both(start + HOUR),
                },
                "coverage": {"percentComplete": covered(n), "percentCoverage": covered(n)},
            }
        )
    return kept(f"/sensors/{SENSOR}/hours", page(*rows))


def both(moment: datetime) -> dict[str, str]:
    utc = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"utc": utc, "local": moment.isoformat()}


def archived(
    rows: list[tuple[datetime, float]], *, parameter: str = "pm25", unit: str = "µg/m³"
) -> RawAnswer:
    """A file of the archive with rows that end at these local times."""
    lines = [
        f'5,{SENSOR},"A-5",{ends.isoformat()},1.5,2.5,{parameter},{unit},{value}'
        for ends, value in rows
    ]
    path = "/records/csv.gz/locationid=5/year=2026/month=01/location-5-20260110.csv.gz"
    return kept(path, "\r\n".join([HEADER, *lines, ""]))


def readings(parsed: Parsed) -> pl.DataFrame:
    return hourly_readings(fold_versions(parsed.versions), "openaq")


def day_of(parsed: Parsed, zone: str = "UTC") -> dict[str, Any]:
    [row] = daily_averages(readings(parsed), {STATION: zone}, (DAY, DAY)).to_dicts()
    return row


@pytest.mark.parametrize(
    ("zone", "minute"),
    [
        ("Asia/Kolkata", 30),
        ("Asia/Kathmandu", 15),
        ("America/St_Johns", 30),
        ("Pacific/Chatham", 15),
    ],
)
class TestZonesOfHalfAndQuarterHours:
    def test_a_local_day_is_24_hours(self, zone: str, minute: int) -> None:
        parsed = read_answers([place(zone), hours(zone, lambda n: 100.0 + n, lambda n: 100.0)])
        assert problems(parsed) == {}
        assert set(parsed.versions["hour"].dt.minute()) == {minute}
        day = day_of(parsed, zone)
        assert (day["mean"], day["hours_valid"], day["hours_expected"]) == (111.5, 24, 24)
        assert day["valid"] is True

    def test_the_archive_agrees(self, zone: str, minute: int) -> None:
        first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=ZoneInfo(zone))
        rows = [
            ((first.astimezone(UTC) + (n + 1) * HOUR).astimezone(ZoneInfo(zone)), 100.0 + n)
            for n in range(24)
        ]
        told = read_answers([place(zone), hours(zone, lambda n: 100.0 + n, lambda n: 100.0)])
        kept_there = read_answers([place(zone), archived(rows)])
        columns = ["station_id", "parameter", "hour", "value_native"]
        assert kept_there.versions.select(columns).equals(told.versions.select(columns))
        assert set(kept_there.versions["hour"].dt.minute()) == {minute}

    def test_the_newest_hour_is_found(self, zone: str, minute: int) -> None:
        ends = datetime(2026, 1, 10, 6, tzinfo=ZoneInfo(zone))
        row = {"datetime": both(ends), "value": 7.0, "sensorsId": SENSOR, "locationsId": 5}
        answer = kept("/locations/5/latest", page(row))
        newest = latest_hour(Pull(STATION, answer), ALWAYS)
        assert newest == ends.astimezone(UTC) - HOUR
        assert newest.minute == minute
        [version] = read_answers([place(zone), answer]).versions.to_dicts()
        assert version["hour"] == newest


def test_a_half_hour_of_a_zone_of_whole_hours_is_no_hour() -> None:
    half = hours("Asia/Kolkata", lambda n: 1.0, lambda n: 100.0)
    parsed = read_answers([place("Europe/Brussels"), half])
    assert parsed.versions.is_empty()
    assert problems(parsed) == {"not_an_hour": 24}
    # Of a place without a usable zone the network's word counts.
    assert len(read_answers([place(None), half]).versions) == 24
    assert len(read_answers([place("Asia/Hanoi"), half]).versions) == 24


def test_a_day_that_is_half_an_hour_shorter_is_never_more_than_complete() -> None:
    zone = "Australia/Lord_Howe"
    hourly = readings(read_answers([place(zone), hours(zone, lambda n: 1.0, lambda n: 100.0)]))
    spring = date(2026, 10, 4)
    start = datetime(2026, 10, 3, 12, tzinfo=UTC)
    for minutes in (0, 30):
        moved = hourly.head(24).with_columns(
            hour=pl.datetime_range(
                start, start + 23 * HOUR, "1h", time_unit="us", time_zone="UTC", eager=True
            )
            + timedelta(minutes=minutes)
        )
        [day] = daily_averages(moved, {STATION: zone}, (spring, spring)).to_dicts()
        assert 0.9 < day["completeness"] <= 1.0


class TestCodesWithinTheHour:
    """A code among good values spoils the mean of the hour, where nothing sees it any more."""

    def day(self, minutes: int, value: float, code: float, *, every_hours: int = 1) -> pl.DataFrame:
        first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
        rows = []
        for n in range(24 * 60 // minutes):
            ends = first + timedelta(minutes=minutes * (n + 1))
            hour = n * minutes // 60
            coded = n * minutes % 60 == 30 and hour % every_hours == 0
            rows.append((ends, code if coded else value))
        return readings(read_answers([place("UTC"), archived(rows)]))

    @pytest.mark.parametrize("code", [-999.0, 9999.0, -9999.0, 65535.0, 2000.0])
    def test_one_in_every_third_hour(self, code: float) -> None:
        found = self.day(1, 20.0, code, every_hours=3)
        assert found["value"].to_list() == pytest.approx([20.0] * 24)
        assert set(found["flag"]) == {"valid"}
        covered = found["coverage"].to_list()
        assert covered[::3] == pytest.approx([59 / 60] * 8)
        assert covered[1::3] == [1.0] * 8

    @pytest.mark.parametrize(("minutes", "value"), [(15, 400.0), (10, 90.0)])
    def test_one_in_every_hour(self, minutes: int, value: float) -> None:
        found = self.day(minutes, value, -999.0)
        assert found["value"].to_list() == [value] * 24
        assert set(found["flag"]) == {"valid"}
        assert set(found["coverage"]) == {1 - minutes / 60}

    def test_of_hours_that_are_codes_alone_the_code_is_seen(self) -> None:
        first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
        rows = [(first + n * timedelta(minutes=10), -999.0) for n in range(1, 25)]
        found = readings(read_answers([place("UTC"), archived(rows)]))
        assert set(found["value_native"]) == {-999.0}
        assert all("sentinel" in reasons for reasons in found["reasons"])

    def test_what_is_too_much_depends_on_the_unit(self) -> None:
        first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
        rows = [
            (first + n * timedelta(minutes=10), 400.0 if n % 6 else 60_000.0) for n in range(1, 25)
        ]
        found = readings(read_answers([place("UTC"), archived(rows, parameter="co")]))
        assert found["value"].to_list() == pytest.approx([0.4] * 4)


class TestCoverage:
    def test_an_hour_of_one_minute_counts_for_nothing(self) -> None:
        parsed = read_answers(
            [
                place("UTC"),
                hours("UTC", lambda n: 30.0 if n < 8 else 400.0, lambda n: 100.0 if n < 8 else 1.7),
            ]
        )
        day = day_of(parsed)
        assert (day["hours_valid"], day["mean"], day["valid"], day["aqi"]) == (8, 30.0, False, None)
        found = readings(parsed)
        assert found["reasons"].to_list() == [[]] * 8 + [["coverage"]] * 16

    def test_three_quarters_are_enough(self) -> None:
        parsed = read_answers([place("UTC"), hours("UTC", lambda n: 1.0, lambda n: 75.0 - n % 2)])
        assert day_of(parsed)["hours_valid"] == 12

    def rows_at(self, *minutes: int) -> pl.DataFrame:
        first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
        rows = [(first + timedelta(minutes=m), 10.0) for m in minutes]
        return readings(read_answers([place("UTC"), archived(rows)]))

    def test_a_file_shows_how_often_its_sensor_reports(self) -> None:
        found = self.rows_at(*range(1, 61), *range(61, 71), 181)
        assert found["coverage"].to_list() == pytest.approx([1.0, 10 / 60, 1 / 60])
        assert found["flag"].to_list() == ["valid", "invalid", "invalid"]

    def test_a_rhythm_may_change(self) -> None:
        found = self.rows_at(*range(1, 181), *range(195, 421, 15))
        assert set(found["coverage"]) == {1.0}

    def test_hourly_rows_say_nothing(self) -> None:
        assert self.rows_at(60, 120, 180, 300)["coverage"].to_list() == [None] * 4

    def test_rows_without_a_rhythm_say_nothing(self) -> None:
        found = self.rows_at(5, 9, 31, 38, 55, 64, 67, 89, 120, 133)
        assert found["coverage"].to_list() == [None] * 3


@pytest.mark.parametrize("broken", [-999.0, 0.0, -1.0, 9999.0, 37.0])
def test_a_broken_newer_sensor_hides_no_healthy_one(broken: float) -> None:
    first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    lines = [
        f'5,{sensor},"A-5",{(first + (n + 1) * HOUR).isoformat()},1.5,2.5,pm25,µg/m³,{value}'
        for n in range(24)
        for sensor, value in ((71, 20 + n % 5), (72, broken))
    ]
    path = "/records/csv.gz/locationid=5/year=2026/month=01/location-5-20260110.csv.gz"
    parsed = read_answers([kept(path, "\r\n".join([HEADER, *lines, ""]))])
    found = readings(parsed)
    assert set(found["sensor_id"]) == {"71"}
    assert set(found["flag"]) == {"valid"}
    assert day_of(parsed)["mean"] == pytest.approx(sum(20 + n % 5 for n in range(24)) / 24)
