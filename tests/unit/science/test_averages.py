"""Daily averages: legal completeness, local days of any length, and independence of the cut."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import fmean
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.settings import Settings
from aq_science.averages import (
    REACH_AFTER,
    REACH_BEFORE,
    Day,
    daily_averages,
)
from aq_science.readings import hourly_readings
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.versions import fold_versions
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, answer, hourly, utc
from tests.laws import examples

FIRST = MIDNIGHT.date()


def only(frame: pl.DataFrame) -> dict:
    assert len(frame) == 1
    return frame.row(0, named=True)


def one_day(values: Sequence[float | None], *, flag: str | Sequence[str] = "valid") -> dict:
    return only(daily_averages(hourly(values, flag=flag), {}, (FIRST, FIRST)))


def test_a_complete_day() -> None:
    row = one_day([float(n) for n in range(24)])
    assert (row["mean"], row["minimum"], row["maximum"]) == (11.5, 0.0, 23.0)
    assert (row["hours_valid"], row["hours_present"], row["hours_expected"]) == (24, 24, 24)
    assert (row["completeness"], row["valid"], row["mean_all_hours"]) == (1.0, True, 11.5)
    assert (row["unit"], row["timezone"], row["date"]) == ("µg/m³", "UTC", FIRST)
    assert (row["aqi"], row["aqi_category"]) == (55, "Moderate")
    assert row["who_2021_exceeded"] is False


def test_bad_hours_count_as_present_but_not_in_the_mean() -> None:
    row = one_day([10.0] * 20 + [900.0] * 4, flag=["valid"] * 20 + ["suspect"] * 4)
    assert (row["mean"], row["maximum"]) == (10.0, 10.0)
    assert (row["hours_valid"], row["hours_present"]) == (20, 24)
    assert row["mean_all_hours"] == pytest.approx((200 + 3600) / 24)


@pytest.mark.parametrize("flag", ["suspect", "invalid"])
def test_day_of_flagged_hours_only_has_no_mean_but_is_told(flag: str) -> None:
    row = one_day([10.0] * 24, flag=flag)
    assert (row["mean"], row["minimum"], row["maximum"]) == (None, None, None)
    assert (row["hours_valid"], row["hours_present"], row["mean_all_hours"]) == (0, 24, 10.0)
    assert (row["valid"], row["aqi"], row["who_2021_exceeded"]) == (False, None, None)


@pytest.mark.parametrize(
    ("value", "reason", "present"), [(None, "no_value", 0), (-999.0, "none_valid", 2)]
)
def test_a_day_without_a_mean_says_why(value: float | None, reason: str, present: int) -> None:
    readings = hourly([1.0, 2.0], flag="invalid").with_columns(value=pl.lit(value, pl.Float64))
    found = daily_averages(readings, {}, (FIRST, FIRST))
    row = only(found)
    assert (row["reason"], row["hours_present"], row["hours_valid"]) == (reason, present, 0)
    assert row["valid"] is False
    assert [row[name] for name in ("mean", "minimum", "maximum", "aqi")] == [None] * 4
    assert row["mean_all_hours"] == value
    assert found.schema == DAILY_AVERAGES.schema


def test_small_negatives_stay_in_the_mean() -> None:
    assert one_day([-1.0] * 12 + [3.0] * 12)["mean"] == 1.0


# Hours needed are those of 75 %: 17.25 of 23, 18 of 24 and 18.75 of 25.
@pytest.mark.parametrize(
    ("zone", "day", "expected", "needed"),
    [
        pytest.param("Europe/Brussels", date(2024, 3, 31), 23, 18, id="spring-23h"),
        pytest.param("Europe/Brussels", date(2024, 4, 1), 24, 18, id="ordinary-24h"),
        pytest.param("Europe/Brussels", date(2024, 10, 27), 25, 19, id="autumn-25h"),
        pytest.param("America/New_York", date(2024, 3, 10), 23, 18, id="new-york-23h"),
        pytest.param("America/New_York", date(2024, 11, 3), 25, 19, id="new-york-25h"),
        pytest.param("Asia/Kolkata", date(2024, 3, 31), 24, 18, id="half-hour-zone"),
        pytest.param("Asia/Kathmandu", date(2024, 3, 31), 24, 18, id="quarter-hour-zone"),
        pytest.param("Pacific/Kiritimati", date(2024, 3, 31), 24, 18, id="utc+14"),
        pytest.param("Etc/GMT+12", date(2024, 3, 31), 24, 18, id="utc-12"),
    ],
)
def test_completeness_counts_the_hours_the_local_day_has(
    zone: str, day: date, expected: int, needed: int
) -> None:
    tz = ZoneInfo(zone)
    hours = [
        hour
        for n in range(-48, 72)
        if (hour := datetime(day.year, day.month, day.day, tzinfo=UTC) + n * HOUR)
        .astimezone(tz)
        .date()
        == day
    ]
    assert len(hours) == expected

    counts = {"whole": expected, "enough": needed, "short": needed - 1}
    readings = pl.concat(
        hourly([5.0] * count, hours[0], station=station) for station, count in counts.items()
    )
    rows = daily_averages(readings, dict.fromkeys(counts, zone), (day, day))
    whole, enough, short = (only(rows.filter(station_id=station)) for station in counts)
    assert (whole["hours_expected"], whole["hours_valid"]) == (expected, expected)
    assert (whole["date"], whole["timezone"], whole["completeness"]) == (day, zone, 1.0)
    assert (enough["valid"], short["valid"]) == (True, False)
    assert enough["completeness"] == pytest.approx(needed / expected)
    assert short["mean"] == 5.0
    assert short["aqi"] is None


def test_hour_belongs_to_the_local_date_of_its_beginning() -> None:
    """In Kolkata 18:00 UTC is 23:30, 19:00 UTC is half past midnight."""
    rows = daily_averages(
        hourly([1.0, 2.0], utc(2024, 3, 1, 18)),
        {"s1": "Asia/Kolkata"},
        (FIRST, FIRST + DAY),
    )
    assert rows.select("date", "mean").rows() == [(FIRST, 1.0), (FIRST + DAY, 2.0)]


@pytest.mark.parametrize(
    ("day", "expected_hours", "first_hour"),
    [("civil", 23, utc(2024, 3, 30, 23)), ("standard", 24, utc(2024, 3, 30, 23))],
    ids=["civil", "standard"],
)
def test_day_of_the_spring_change(day: Day, expected_hours: int, first_hour: datetime) -> None:
    readings = hourly([float(n) for n in range(72)], utc(2024, 3, 30))
    changed = date(2024, 3, 31)
    row = only(daily_averages(readings, {"s1": "Europe/Brussels"}, (changed, changed), day=day))
    assert row["hours_expected"] == row["hours_valid"] == expected_hours
    assert row["minimum"] == (first_hour - utc(2024, 3, 30)) / HOUR
    assert row["maximum"] == row["minimum"] + expected_hours - 1
    assert row["rule"] == f"75_percent_of_hours_{day}_day"


def test_standard_day_of_summer_begins_an_hour_after_the_civil_one() -> None:
    readings = hourly([float(n) for n in range(72)], utc(2024, 6, 30))
    day = date(2024, 7, 1)

    def first(kind: Day) -> float:
        table = daily_averages(readings, {"s1": "Europe/Brussels"}, (day, day), day=kind)
        return only(table)["minimum"]

    assert (first("civil"), first("standard")) == (22.0, 23.0)


@pytest.mark.parametrize(
    ("zone", "month", "mean"),
    [
        ("Europe/London", 1, 35.5),
        ("Europe/Dublin", 1, 35.5),
        ("Eire", 1, 35.5),
        ("Europe/Dublin", 7, 35.5),
        # By its law UTC+1, in Ramadan (March 2026) too.
        ("Africa/Casablanca", 1, 34.5),
        ("Africa/Casablanca", 3, 34.5),
    ],
)
def test_standard_time_where_the_law_saves_in_winter(zone: str, month: int, mean: float) -> None:
    day = date(2026, month, 10)
    readings = hourly([float(n) for n in range(72)], utc(2026, month, 9))
    row = only(daily_averages(readings, {"s1": zone}, (day, day), day="standard"))
    assert (row["mean"], row["hours_expected"], row["timezone"]) == (mean, 24, zone)


def test_stations_follow_their_own_zones_and_utc_by_default() -> None:
    readings = pl.concat([hourly([1.0] * 72, station=name) for name in ("a", "b", "c")])
    zones = {"a": "Asia/Tokyo", "b": "America/Lima"}
    rows = daily_averages(readings, zones, (FIRST, FIRST))
    assert rows.select("station_id", "timezone", "hours_valid").rows() == [
        ("a", "Asia/Tokyo", 15),
        ("b", "America/Lima", 24),
        ("c", "UTC", 24),
    ]


def test_running_8_hour_maximum_by_hand() -> None:
    """0, 1 … 53 from 06:00: 13, 24 and 14 windows; the highest that ends on day 2 is 34..41."""
    readings = hourly([float(n) for n in range(54)], utc(2024, 1, 1, 6), parameter="co")
    rows = daily_averages(readings, {}, (date(2024, 1, 1), date(2024, 1, 3)))
    assert rows["max_8h_mean"].to_list() == [None, 37.5, None]


@pytest.mark.parametrize(("hours", "windows_valid"), [(18, True), (17, False)])
def test_maximum_needs_18_windows_of_the_day(hours: int, windows_valid: bool) -> None:
    """After a full day before, the windows that end by the last reading (and two after) count."""
    values = [1.0] * 24 + [2.0] * (hours - 2)
    row = only(daily_averages(hourly(values, parameter="co"), {}, (FIRST + DAY, FIRST + DAY)))
    assert (row["max_8h_mean"] is not None) == windows_valid


@pytest.mark.parametrize(("missing", "expected"), [(2, 80.0), (3, None)], ids=["6of8", "5of8"])
def test_window_of_six_hours_counts_and_of_five_does_not(
    missing: int, expected: float | None
) -> None:
    """Every eight hours the same gap: no window ever has more than the others."""
    pattern: list[float | None] = [80.0] * (8 - missing) + [None] * missing
    row = only(daily_averages(hourly(pattern * 6, parameter="o3"), {}, (FIRST + DAY, FIRST + DAY)))
    assert row["max_8h_mean"] == expected


def test_running_mean_is_over_valid_hours_of_gases_only() -> None:
    flags = ["valid"] * 47 + ["invalid"]
    values = [1.0] * 47 + [1000.0]
    day = (FIRST + DAY, FIRST + DAY)
    assert only(daily_averages(hourly(values, parameter="co", flag=flags), {}, day))[
        "max_8h_mean"
    ] == pytest.approx(1.0)
    assert only(daily_averages(hourly(values, parameter="pm25"), {}, day))["max_8h_mean"] is None


def test_co_index_is_of_the_8_hour_maximum_in_ppm() -> None:
    row = only(
        daily_averages(hourly([10.4798] * 48, parameter="co"), {}, (FIRST + DAY, FIRST + DAY))
    )
    # 9.0 ppm at 20 °C
    assert row["aqi"] == 96
    assert row["who_2021_exceeded"] is True


ZONES = ["UTC", "Europe/Brussels", "Asia/Kolkata", "Pacific/Kiritimati", "Etc/GMT+12"]
START = utc(2024, 3, 28)  # over the change of clocks in Brussels


@settings(max_examples=examples(25))
@given(
    st.dictionaries(st.sampled_from(["s1", "s2", "s3"]), st.sampled_from(ZONES), min_size=1),
    st.lists(
        st.one_of(st.none(), st.floats(-1, 49).map(lambda v: round(v, 3))),
        min_size=24 * 7,
        max_size=24 * 7,
    ),
    st.integers(1, 5),
    st.sampled_from(["civil", "standard"]),
)
def test_result_does_not_depend_on_how_the_range_is_cut(
    zones: dict[str, str], values: list[float | None], chunk_days: int, day: Day
) -> None:
    readings = pl.concat(
        [
            hourly(values[n:] + values[:n], START, station=station, parameter=parameter)
            for n, (station, parameter) in enumerate((s, p) for s in zones for p in ("co", "pm25"))
        ]
    )
    whole = Window(START + DAY, START + 6 * DAY)
    at_once = daily_averages(readings, zones, (whole.dates[0], whole.dates[-1]), day=day)
    parts = []
    for part in whole.chunks(chunk_days * DAY):
        reach = part.padded(before=REACH_BEFORE, after=REACH_AFTER)
        inside = pl.col("hour").is_between(reach.start, reach.end, closed="left")
        dates = (part.dates[0], part.dates[-1])
        parts.append(daily_averages(readings.filter(inside), zones, dates, day=day))
    pieced = pl.concat(parts).sort("network", "station_id", "parameter", "date")
    assert_frame_equal(pieced, at_once, rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_reach_is_enough_for_the_first_and_the_last_window_of_any_zone(zone: str) -> None:
    """The highest mean ends with the local day's first hour, and begins seven hours before."""
    day = FIRST + 3 * DAY
    first_hour = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    hours = int((first_hour - MIDNIGHT) / HOUR)
    values = [1.0] * (hours - 7) + [60.0] + [30.0] * 7 + [1.0] * 48
    whole = Window.of_days(day, day)
    reach = whole.padded(before=REACH_BEFORE, after=REACH_AFTER)
    inside = pl.col("hour").is_between(reach.start, reach.end, closed="left")
    readings = hourly(values, parameter="co").filter(inside)
    row = only(daily_averages(readings, {"s1": zone}, (day, day)))
    assert row["max_8h_mean"] == 33.75
    assert (row["hours_valid"], row["maximum"], row["minimum"]) == (24, 30.0, 1.0)


@settings(max_examples=examples(30))
@given(st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(random) -> None:
    readings = pl.concat(
        [hourly([float(n % 7) for n in range(60)], station=s, parameter="co") for s in ("a", "b")]
    )
    order = list(range(len(readings)))
    random.shuffle(order)
    dates = (FIRST, FIRST + 2 * DAY)
    assert_frame_equal(
        daily_averages(readings[order], {}, dates), daily_averages(readings, {}, dates)
    )


def test_no_readings_give_no_rows_of_the_declared_schema() -> None:
    assert daily_averages(hourly([]), {}, (FIRST, FIRST)).schema == DAILY_AVERAGES.schema


def test_days_outside_the_asked_range_are_left_out() -> None:
    rows = daily_averages(hourly([1.0] * 72), {}, (FIRST + DAY, FIRST + DAY))
    assert rows["date"].to_list() == [FIRST + DAY]


@pytest.mark.parametrize("station", ["283164601", "283181971"])
def test_real_recording_gives_the_plain_means_of_its_hours(
    real_data: Path, station: str, clean_environment: None
) -> None:
    """What a script of ten lines computes from the same answer, to 1e-9."""
    body = (real_data / "airqino" / f"{station}_fetched_2024-09.json").read_text("utf-8")
    plain: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in json.loads(body)["data"]:
        for key, parameter in (("PM2.5", "pm25"), ("PM10", "pm10"), ("CO", "co")):
            if row.get(key) is not None:
                plain[parameter, row["timestamp"][:10]].append(row[key])
    config = NetworkConfig(name="airqino", start_date=date(2023, 9, 10), stations=(station,))
    pulled_at = utc(2024, 9, 10)
    year = Window(utc(2023, 9, 1), pulled_at)
    client = create_client(config, Settings(), lambda: pulled_at)
    try:
        parsed = client.parse([answer(body, window=year, pulled_at=pulled_at, station=station)])
    finally:
        client.close()
    readings = hourly_readings(fold_versions(parsed.versions), "airqino")
    rows = daily_averages(readings, {station: "Africa/Abidjan"}, (year.dates[0], year.dates[-1]))
    found = {
        (row["parameter"], row["date"].isoformat()): row
        for row in rows.filter(pl.col("parameter").is_in(["pm25", "pm10", "co"])).iter_rows(
            named=True
        )
    }
    assert found.keys() == plain.keys()
    assert len(found) > 900
    for of_day, values in plain.items():
        assert found[of_day]["mean_all_hours"] == pytest.approx(fmean(values), abs=1e-9)
        assert found[of_day]["hours_present"] == len(values)
        if found[of_day]["hours_valid"] == len(values):
            assert found[of_day]["mean"] == pytest.approx(fmean(values), abs=1e-9)


def test_the_same_readings_give_the_same_bits(clean_environment: None) -> None:
    """However the work is spread over threads: a rerun must not change the last digit of a row."""
    dice = np.random.default_rng(5)
    hours, stations = 24 * 30, 40
    # So many rows as have to be spread; one by one they take longer to make than to average.
    month = hourly([1.0] * hours)
    frame = pl.concat(
        month.with_columns(
            station_id=pl.lit(f"s{number}").cast(month.schema["station_id"]),
            value=pl.Series(dice.lognormal(3, 1, hours)),
        )
        for number in range(stations)
    )
    days = (FIRST, (MIDNIGHT + hours * HOUR).date())
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=7)
    for rows in (frame, shuffled):
        once = daily_averages(rows, {}, days)
        for _ in range(4):
            assert daily_averages(rows, {}, days).equals(once)
