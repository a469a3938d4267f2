"""Windows, spans, hours and clocks of devices, against the same computed plainly."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.networks.devices.bodies import answers_of, readings_of
from aq_resources.spool.frames import Note, Readings
from aq_science.devices.clocks import clock_verdicts
from aq_science.devices.hours import hour_versions
from aq_science.devices.readings import READING_SCHEMA, one_of_each
from aq_science.devices.spans import parts_of, span_statistics
from aq_science.devices.windows import window_averages
from aq_science.tables.core import broken_rows
from aq_science.tables.window_averages import WINDOW_AVERAGES
from aq_science.windows import HOUR, Window
from tests.factories import utc

START = utc(2026, 3, 10, 8)
SECOND = timedelta(seconds=1)

Row = tuple[str, str, datetime, float, datetime]


def frame_of(rows: list[Row], fleet: str = "city") -> pl.DataFrame:
    return pl.DataFrame(
        [(fleet, d, s, t, v, r - t > 60 * SECOND, r) for d, s, t, v, r in rows],
        READING_SCHEMA,
        orient="row",
    )


MOMENTS = st.integers(0, 7200 * 1000).map(lambda ms: START + timedelta(milliseconds=ms))
VALUES = st.floats(-1e6, 1e6)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2"]),
        st.sampled_from(["pm25", "temperature", "heart_rate"]),
        st.one_of(MOMENTS, st.integers(0, 30).map(lambda s: START + s * SECOND)),
        VALUES,
        st.integers(0, 86_400).map(lambda s: START + 2 * HOUR + s * SECOND),
    ),
    max_size=60,
)


def plainly(rows: list[Row]) -> dict[tuple[str, str, datetime], float]:
    """The value that counts of each reading."""
    kept: dict[tuple[str, str, datetime], tuple[datetime, float]] = {}
    for device, sensor, time, value, received in rows:
        key = (device, sensor, time)
        # -0.0 and 0.0 are one value.
        kept[key] = max(kept.get(key, (received, -math.inf)), (received, value + 0.0))
    return {key: value for key, (_, value) in kept.items()}


@given(rows=ROWS, seconds=st.sampled_from([1, 10, 60, 3600]), seed=st.integers())
def test_windows_are_those_of_all_readings_at_once_whatever_the_order(
    rows: list[Row], seconds: int, seed: int
) -> None:
    shuffled = rows + rows[: len(rows) // 2]
    random.Random(seed).shuffle(shuffled)
    made = window_averages(frame_of(shuffled), seconds, 0, "devices")
    # The same hour by hour, as the asset makes them.
    by_hour = [
        window_averages(
            frame_of([r for r in shuffled if r[2].hour == hour.hour]), seconds, 0, "devices"
        )
        for hour in (START, START + HOUR, START + 2 * HOUR)
    ]
    assert made.equals(pl.concat(by_hour).sort(*WINDOW_AVERAGES.key))
    assert made.equals(window_averages(frame_of(rows), seconds, 0, "devices"))
    wanted: dict[tuple[str, str, datetime], list[float]] = {}
    for (device, sensor, time), value in plainly(rows).items():
        since = (time - START) // (seconds * SECOND)
        wanted.setdefault((device, sensor, START + since * seconds * SECOND), []).append(value)
    found = {
        (row["device_id"], row["sensor"], row["window_start"]): row
        for row in made.iter_rows(named=True)
    }
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        row = found[key]
        assert (row["count"], row["minimum"], row["maximum"]) == (
            len(values),
            min(values),
            max(values),
        )
        assert row["mean"] == pytest.approx(math.fsum(values) / len(values), rel=1e-9, abs=1e-9)
    assert not any(bad.height for bad in broken_rows(WINDOW_AVERAGES, made).values())


@given(
    rows=ROWS,
    seconds=st.sampled_from([1, 10, 900]),
    ends=st.tuples(MOMENTS, MOMENTS).map(sorted),
)
def test_any_span_is_the_plain_aggregate_of_its_readings(
    rows: list[Row], seconds: int, ends: list[datetime]
) -> None:
    span = Window(*ends)
    parts = parts_of(span, seconds)
    lengths = [(w.end - w.start) for w in (parts.whole, *parts.ends)]
    assert sum(lengths, timedelta()) == span.end - span.start
    windows = window_averages(frame_of(rows), seconds, 0, "devices")
    start = pl.col("window_start")
    inside = windows.filter(start.is_between(parts.whole.start, parts.whole.end, closed="left"))
    at_ends = [r for r in rows if any(end.start <= r[2] < end.end for end in parts.ends)]
    found = span_statistics(inside, frame_of(at_ends))
    wanted: dict[tuple[str, str], list[float]] = {}
    for (device, sensor, time), value in plainly(rows).items():
        if span.start <= time < span.end:
            wanted.setdefault((device, sensor), []).append(value)
    assert {(r["device_id"], r["sensor"]) for r in found.iter_rows(named=True)} == wanted.keys()
    for row in found.iter_rows(named=True):
        values = wanted[row["device_id"], row["sensor"]]
        assert (row["count"], row["minimum"], row["maximum"]) == (
            len(values),
            min(values),
            max(values),
        )
        scale = max(1.0, *map(abs, values))
        assert abs(row["mean"] - math.fsum(values) / len(values)) <= 1e-9 * scale


def steady(
    count: int,
    every: timedelta = SECOND,
    delay: timedelta = SECOND,
    start: datetime = START,
    **changed: Any,
) -> list[Row]:
    """A device that sends at a steady rate."""
    device, sensor = changed.get("device", "1"), changed.get("sensor", "pm25")
    return [
        (device, sensor, start + n * every, float(n % 7), start + n * every + delay)
        for n in range(count)
    ]


def test_partial_windows_are_marked() -> None:
    rows = steady(35)
    del rows[3:7]
    made = window_averages(frame_of(rows), 10, 0, "devices")
    assert made["count"].to_list() == [6, 10, 10, 5]
    assert made["expected"].to_list() == [10] * 4
    # The last one was not over yet when the newest reading came.
    assert made["partial"].to_list() == [True, False, False, True]
    assert made["late"].to_list() == [0] * 4
    assert set(made["unit"]) == {"µg/m³"}
    assert window_averages(frame_of(rows), 10, 5, "devices")["expected"].to_list() == [2] * 4


def test_a_single_reading_tells_no_interval() -> None:
    [row] = window_averages(frame_of(steady(1)), 10, 0, "devices").iter_rows(named=True)
    assert (row["expected"], row["partial"]) == (None, True)


def test_an_hour_has_its_mean_and_the_share_that_came() -> None:
    rows = steady(3600, sensor="temperature")
    half = steady(1800, device="2", sensor="humidity")
    heart = steady(3600, sensor="heart_rate")
    made = hour_versions(frame_of([*rows, *half, *heart]), START + HOUR, 0)
    found = {row["station_id"]: row for row in made.iter_rows(named=True)}
    assert found.keys() == {"city.1", "city.2"}
    assert found["city.1"]["value_native"] == pytest.approx(sum(r[3] for r in rows) / 3600)
    assert found["city.1"]["coverage"] == pytest.approx(1)
    assert found["city.2"]["coverage"] == pytest.approx(0.5, abs=1e-3)
    assert found["city.2"]["unit_native"] == "%"
    assert found["city.1"]["pulled_at"] == START + HOUR


def test_an_hour_in_progress_is_left_out_until_the_spool_says_that_it_is_over() -> None:
    rows = frame_of(steady(1800))
    assert hour_versions(rows, START + 59 * 60 * SECOND, 0).is_empty()
    assert hour_versions(rows, START + HOUR, 0)["pulled_at"].to_list() == [START + HOUR]


def test_what_comes_much_later_is_another_version_of_the_hour() -> None:
    late = steady(10, delay=5 * HOUR, start=START + 3000 * SECOND)
    made = hour_versions(frame_of([*steady(3000), *late]), START + 9 * HOUR, 0)
    assert made["pulled_at"].to_list() == [START + HOUR, late[-1][4]]
    assert made["coverage"].to_list() == [
        pytest.approx(3000 / 3600),
        pytest.approx(3010 / 3600),
    ]


def test_wrong_clocks_and_late_readings_are_not_confused() -> None:
    minute = 60 * SECOND
    burst = [(d, s, t, v, START + HOUR) for d, s, t, v, _ in steady(30, minute, device="buffered")]
    verdicts = clock_verdicts(
        frame_of(
            [
                *steady(30, minute, device="right"),
                *steady(30, minute, timedelta(hours=2), device="behind"),
                *burst,
                *steady(30, minute, device="buffered", start=START + HOUR),
                *steady(3, minute, device="new"),
            ]
        )
    )
    assert dict(verdicts.select("device_id", "verdict").iter_rows()) == {
        "right": "right",
        "behind": "behind",
        "buffered": "late",
        "new": None,
    }


@given(
    times=st.lists(st.integers(0, 86_399_999_999), min_size=1, max_size=20),
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=20, max_size=20),
)
def test_readings_survive_the_way_through_the_raw_pulls(
    times: list[int], values: list[float]
) -> None:
    day = round(utc(2026, 3, 10).timestamp()) * 1_000_000
    received = day + 90_000_000_000
    count = len(times)
    moments = [day + time for time in times]
    frame = Readings(
        "a", received, ["1"] * count, ["pm25"] * count, moments, values[:count], [Note.LATE] * count
    )
    answers = list(answers_of("segment", [frame]))
    assert all(readings_of(answer)["late"].all() for answer in answers)
    for answer in answers:
        hours = readings_of(answer)["time"]
        assert hours.min() >= answer.window[0]  # type: ignore[operator]
        assert hours.max() < answer.window[1]  # type: ignore[operator]
    found = pl.concat(map(readings_of, answers)).select(pl.col("time").dt.epoch("us"), "value")
    assert sorted(found.iter_rows()) == sorted(zip(moments, values[:count], strict=True))
    assert answers == list(answers_of("segment", [frame]))


def test_a_repeated_reading_is_one_and_the_last_received_counts() -> None:
    [row] = steady(1)
    again = (*row[:3], 99.0, row[4] + SECOND)
    [found] = one_of_each(frame_of([again, row, row])).iter_rows(named=True)
    assert found["value"] == 99.0
