"""Pictures in the event log: whole PNG, and small, since they are kept for ever."""

import base64
import struct
from datetime import timedelta
from random import Random

import pytest

from aq_assets.plots import Line, plot
from tests.factories import HOUR, MIDNIGHT

LIMIT = 30_000


def png(markdown: str) -> bytes:
    prefix, _, encoded = markdown.partition("base64,")
    assert prefix.startswith("![")
    assert prefix.endswith("](data:image/png;")
    assert encoded.endswith(")")
    return base64.b64decode(encoded[:-1], validate=True)


def noise(label: str, count: int, step: timedelta = HOUR) -> Line:
    """The worst to pack: every point somewhere else."""
    random = Random(label)
    values = [random.gammavariate(2, 8) for _ in range(count)]
    return Line(label, [MIDNIGHT + n * step for n in range(count)], values)


def wave(label: str, count: int, step: timedelta = HOUR) -> Line:
    times = [MIDNIGHT + n * step for n in range(count)]
    values = [None if n % 11 == 0 else 10.0 + n % 24 for n in range(count)]
    return Line(label, times, values)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="no-lines"),
        pytest.param([Line("s1", [], [])], id="no-points"),
        pytest.param([Line("s1", [MIDNIGHT], [3.0])], id="one-point"),
        pytest.param([Line("s1", [MIDNIGHT], [None])], id="only-a-gap"),
        pytest.param([wave("283164601", 24)], id="day"),
        pytest.param([wave(f"station {n}", 24 * 7) for n in range(6)], id="week-of-six"),
        pytest.param([wave(f"s{n}", 365 * 3, 24 * HOUR) for n in range(3)], id="three-years"),
        pytest.param([noise(f"s{n}", 24 * 7) for n in range(6)], id="week-of-six-all-noise"),
        pytest.param([noise(f"s{n}", 1095, 24 * HOUR) for n in range(6)], id="years-all-noise"),
        pytest.param(
            [
                wave("s1", 48),
                Line("forecast", [MIDNIGHT, MIDNIGHT + HOUR], [5.0, None], ([4, None], [6, None])),
            ],
            id="band-with-a-gap",
        ),
    ],
)
def test_picture_is_a_small_png(lines: list[Line]) -> None:
    data = png(plot("PM2.5, valid hours", "µg/m³", lines).value)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    assert 300 < width < 1000
    assert 100 < height < 500
    assert len(data) < LIMIT


def test_picture_does_not_grow_with_the_number_of_stations() -> None:
    many = [wave(f"station {n}", 48) for n in range(500)]
    assert png(plot("t", "u", many).value) == png(plot("t", "u", many[:6]).value)


@pytest.mark.parametrize("hours", [1, 26, 74, 98, 130, 24 * 40, 24 * 800])
def test_any_length_of_time_has_its_ticks_without_a_warning(hours: int) -> None:
    x = [MIDNIGHT + timedelta(hours=hours * n / 4) for n in range(5)]
    assert plot("PM2.5", "µg/m³", [Line("a", x, [1.0, 2.0, None, 3.0, 2.0])]).md_str
