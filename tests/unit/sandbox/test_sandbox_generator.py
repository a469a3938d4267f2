"""The made-up readings: random access, realistic, faulty in known ways."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_sandbox.generator import FIELDS, SENTINEL, Readings, station_hours

YEAR = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
STATIONS = ("283164601", "283181971", "283249436", "900000001", "900000002")


def rows(readings: Readings) -> dict[int, tuple[float | None, ...]]:
    columns = [readings.values[field].tolist() for field in FIELDS]
    cells = zip(*columns, strict=True)
    return {
        hour: tuple(None if math.isnan(cell) else cell for cell in row)
        for hour, row in zip(readings.hours.tolist(), cells, strict=True)
    }


def year(station: str, field: str) -> tuple[np.ndarray, np.ndarray]:
    """Hours and sound values of a station's final year."""
    readings = station_hours(station, *YEAR, seed=1)
    values = readings.values[field]
    sound = ~np.isnan(values) & (values != SENTINEL)
    return readings.hours[sound], values[sound]


hour_offsets = st.integers(min_value=-300_000, max_value=1_000_000)


@settings(deadline=None)  # a busy machine is no failure
@given(
    station=st.sampled_from(STATIONS),
    seed=st.integers(0, 3),
    begin=hour_offsets,
    length=st.integers(1, 400),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    age=st.one_of(st.none(), st.floats(-100, 500)),
)
def test_value_of_an_hour_does_not_depend_on_the_window(
    station: str,
    seed: int,
    begin: int,
    length: int,
    cut: tuple[float, float],
    age: float | None,
) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    start = epoch + timedelta(hours=begin)
    end = start + timedelta(hours=length)
    now = None if age is None else end + timedelta(hours=age)
    low, high = sorted(round(share * length) for share in cut)
    inner_start, inner_end = start + timedelta(hours=low), start + timedelta(hours=high)

    whole = rows(station_hours(station, start, end, seed, now))
    part = rows(station_hours(station, inner_start, inner_end, seed, now))

    assert part == {h: row for h, row in whole.items() if begin + low <= h < begin + high}


def test_year_is_the_sum_of_its_days_flat_line_included() -> None:
    whole = rows(station_hours("283181971", *YEAR, seed=1))
    days = [YEAR[0] + timedelta(days=day) for day in range(366)]
    parts = [rows(station_hours("283181971", day, day + timedelta(days=1), seed=1)) for day in days]
    assert {hour: row for part in parts for hour, row in part.items()} == whole


def test_another_seed_and_another_station_give_other_values() -> None:
    one = rows(station_hours("900000001", *YEAR, seed=1))
    assert rows(station_hours("900000001", *YEAR, seed=2)) != one
    assert rows(station_hours("900000002", *YEAR, seed=1)) != one


@pytest.mark.parametrize("station", STATIONS)
def test_values_are_plausible(station: str) -> None:
    for field, low, high in (
        ("CO", 0.0, 10.0),
        ("T", 15.0, 40.0),
        ("T. int.", 300.0, 500.0),
        ("NO2", 10.0, 40.0),
        ("O3", 0.0, 70.0),
        ("PM10", 0.5, 3000.0),
        ("PM2.5", 0.5, 1000.0),
        ("RH", 20.0, 100.0),
    ):
        _, values = year(station, field)
        assert low <= values.min() and values.max() <= high, field
    readings = station_hours(station, *YEAR, seed=1)
    pm25, pm10 = readings.values["PM2.5"], readings.values["PM10"]
    assert (pm25[pm10 != SENTINEL] <= pm10[pm10 != SENTINEL]).all()


def test_pm25_has_daily_weekly_and_yearly_rhythm_and_lasts() -> None:
    hours, values = year("900000001", "PM2.5")
    by_clock = [float(np.median(values[hours % 24 == clock])) for clock in range(24)]
    assert by_clock[7] > 1.15 * by_clock[3] and by_clock[7] > 1.15 * by_clock[13]
    assert by_clock[19] > 1.15 * by_clock[14] and by_clock[19] > 1.15 * by_clock[23]
    weekday = (hours // 24 + 3) % 7
    assert np.median(values[weekday == 6]) < np.median(values[weekday < 5])
    winter, summer = hours < hours[0] + 60 * 24, abs(hours - hours[0] - 182 * 24) < 30 * 24
    assert np.median(values[winter]) > 1.3 * np.median(values[summer])
    assert np.corrcoef(np.log(values[:-1]), np.log(values[1:]))[0, 1] > 0.8


def test_hours_and_keys_are_missing_as_in_reality() -> None:
    gaps: list[int] = []
    years = [station_hours(station, *YEAR, seed=1) for station in STATIONS]
    for hours in (one.hours for one in years):
        assert (np.diff(hours) > 0).all()
        assert 0.02 < 1 - hours.size / 8784 < 0.12
        gaps += (np.diff(hours) - 1).tolist()
    assert gaps.count(1) > 500
    assert 41 in gaps

    silent = {
        field: np.mean([np.isnan(one.values[field]).mean() for one in years]) for field in FIELDS
    }
    assert 0.005 < silent["RH"] < 0.03
    assert 0 < silent["NO2"] < 0.002 and 0 < silent["O3"] < 0.002
    assert silent["CO"] == silent["T"] == silent["PM2.5"] == 0


def test_co_of_the_first_station_is_stuck_at_zero_and_others_are_not() -> None:
    _, dead = year("283164601", "CO")
    _, alive = year("283181971", "CO")
    assert (dead == 0).mean() > 0.95
    assert (alive == 0).mean() < 0.05


def test_spikes_sentinels_and_a_flat_line_occur_but_rarely() -> None:
    readings = [station_hours(station, *YEAR, seed=1) for station in STATIONS]
    sentinels = sum(int((one.values[f] == SENTINEL).sum()) for one in readings for f in FIELDS)
    assert 5 <= sentinels <= 50
    for one in readings:
        pm25 = one.values["PM2.5"]
        ratio = pm25[1:] / pm25[:-1]
        assert 1 <= ((ratio > 4) & (pm25[:-1] > 0)).sum() < 30
        same = "".join("1" if still else "0" for still in np.diff(pm25) == 0)
        assert 8 <= max(map(len, same.split("0"))) <= 40


def test_history_is_revised_after_three_days() -> None:
    start = datetime(2025, 3, 1, tzinfo=UTC)
    end = start + timedelta(days=3)
    changed = 0
    below_zero = 0
    for number in range(40):
        station = str(900000001 + number)
        early = rows(station_hours(station, start, end, seed=1, now=end))
        late = rows(station_hours(station, start, end, seed=1, now=end + timedelta(days=4)))
        final = rows(station_hours(station, start, end, seed=1))
        assert early.keys() == late.keys()
        assert late == final
        changed += sum(early[hour] != late[hour] for hour in early)
        below_zero += sum((row[0] or 0) < 0 for row in early.values())
        assert not any((row[0] or 0) < 0 for row in late.values() if row[0] != SENTINEL)
    assert 0.01 < changed / (40 * 72) < 0.03
    assert below_zero > 0


def test_hour_in_progress_is_partial_and_later_hours_are_absent() -> None:
    start = datetime(2025, 3, 3, tzinfo=UTC)
    now = start + timedelta(hours=10, minutes=20)
    seen = 0
    for station in STATIONS:
        shown = rows(station_hours(station, start, start + timedelta(days=2), seed=1, now=now))
        final = rows(station_hours(station, start, start + timedelta(days=2), seed=1))
        current = int(now.timestamp()) // 3600
        assert max(shown) <= current
        if current in shown:
            seen += 1
            assert shown[current] != final[current]
    assert seen >= 4


def test_hour_that_begins_now_is_not_yet_there() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    hours = station_hours("900000001", now - timedelta(days=1), now, seed=1, now=now).hours
    assert hours.max() < now.timestamp() / 3600


def test_empty_and_backward_windows_hold_nothing() -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    assert not station_hours("900000001", moment, moment, seed=1).hours.size
    assert not station_hours("900000001", moment, moment - timedelta(days=9), seed=1).hours.size
