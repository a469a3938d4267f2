"""Readings of many devices are the same hours, however few of them are held at once."""

from __future__ import annotations

import msgspec
from polars.testing import assert_frame_equal

from aq_resources.networks.devices.bodies import TAKEN, Body
from aq_resources.networks.devices.parse import parse_readings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import HOUR
from tests.factories import utc

START = utc(2026, 3, 10, 7)
FIRST = round(START.timestamp() * 1e6)


def answer(device: int, hour: int, count: int) -> RawAnswer:
    """An hour of a device, of which half comes late."""
    every = 3600_000_000 // count
    times = [FIRST + hour * 3600_000_000 + n * every for n in range(count)]
    late = [7200_000_000 * (n % 2) for n in range(count)]
    body = Body(
        ["city"] * count,
        [str(device)] * count,
        ["pm25" if device % 2 else "temperature"] * count,
        times,
        [float(n % 7) for n in range(count)],
        [0] * count,
        [time + wait for time, wait in zip(times, late, strict=True)],
    )
    window = (START + hour * HOUR, START + (hour + 1) * HOUR)
    return RawAnswer(
        "spool:", {}, window, START + 9 * HOUR, TAKEN, msgspec.json.encode(body).decode()
    )


def test_hours_do_not_depend_on_how_many_readings_are_held() -> None:
    answers = [answer(device, hour, 20) for hour in range(3) for device in range(50)]
    key = ("station_id", "parameter", "hour", "pulled_at")
    whole = parse_readings(answers, 0).versions.sort(key)
    assert whole.height == 2 * 150
    for most in (1, 700):
        assert_frame_equal(parse_readings(answers, 0, most).versions.sort(key), whole)
