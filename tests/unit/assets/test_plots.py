"""Pictures in the event log: whole PNG, small, with both panels, names and guidelines."""

import base64
import struct
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest

from aq_assets.daily_averages import GUIDELINES
from aq_assets.panels import MOST_LINES, short, station_names, station_panels
from aq_assets.plots import Level, Line, Panel, drawn, plot
from tests.factories import DAY, HOUR, MIDNIGHT, station_frame

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
    data = png(plot("Valid hours", [Panel("PM2.5 [µg/m³]", lines)]).value)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    assert 300 < width < 1000
    assert 100 < height < 500
    assert len(data) < LIMIT


@pytest.mark.parametrize("hours", [1, 26, 74, 98, 130, 24 * 40, 24 * 800])
def test_any_length_of_time_has_its_ticks_without_a_warning(hours: int) -> None:
    x = [MIDNIGHT + timedelta(hours=hours * n / 4) for n in range(5)]
    assert plot("PM2.5", [Panel("µg/m³", [Line("a", x, [1.0, 2.0, None, 3.0, 2.0])])]).md_str


def points(*series: tuple[str, str, Sequence[float | None]]) -> pl.DataFrame:
    """Station, parameter and values of one day after another."""
    rows = [
        (station, parameter, MIDNIGHT.date() + n * DAY, value)
        for station, parameter, values in series
        for n, value in enumerate(values)
    ]
    schema = {
        "station_id": pl.Categorical(),
        "parameter": pl.String(),
        "time": pl.Date(),
        "value": pl.Float64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


NAMES = {"s1": "Gombe", "s2": "Plateau"}
TWO = points(
    ("s1", "pm25", [10.0, 20.0, 14.0]),
    ("s2", "pm25", [30.0, 40.0, 24.0]),
    ("s1", "co", [0.4, 0.5, 0.4]),
)


def labels(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_daily_plot_has_both_panels_with_units_names_and_guidelines() -> None:
    panels = station_panels(TWO, NAMES, GUIDELINES)
    figure = drawn("Daily means", panels)
    assert [axes.get_ylabel() for axes in figure.axes] == ["PM2.5 [µg/m³]", "CO [mg/m³]"]
    assert labels(figure) == ["Plateau", "Gombe"]
    pm25, co = figure.axes
    drawn_at = [
        float(np.asarray(line.get_ydata())[0])
        for line in pm25.lines
        if line.get_linestyle() == "--"
    ]
    assert drawn_at == [15.0]
    assert [text.get_text() for text in pm25.texts] == [f"– – {GUIDELINES['pm25'].text}"]
    assert GUIDELINES["pm25"].text == "WHO 2021, 24-hour guideline:\n15 µg/m³"
    # Far above all values: said, and not drawn.
    assert all(line.get_linestyle() != "--" for line in co.lines)
    [text] = [text.get_text() for text in co.texts]
    assert text == "WHO 2021, 24-hour guideline:\n4 mg/m³,\nabove what is shown"
    # One colour a station in both panels.
    assert co.lines[0].get_color() == pm25.lines[1].get_color()


def test_the_legend_lies_beside_the_data() -> None:
    figure = drawn("Daily means", station_panels(TWO, NAMES))
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert all(axes.get_window_extent().x1 <= legend.x0 for axes in figure.axes)
    assert legend.x1 <= figure.bbox.x1


def test_a_network_without_co_has_one_panel_and_one_without_either_none() -> None:
    only = station_panels(TWO.filter(pl.col("parameter") == "pm25"), NAMES)
    assert [panel.label for panel in only] == ["PM2.5 [µg/m³]"]
    assert station_panels(TWO.clear(), NAMES) == []
    assert station_panels(TWO.with_columns(value=pl.lit(None, pl.Float64)), NAMES) == []


def test_of_many_stations_the_highest_are_drawn_and_the_others_together() -> None:
    many = points(*((f"s{n}", "pm25", [float(n), n + 2.0]) for n in range(500)))
    [panel] = station_panels(many, {"s499": "Gombe"})
    others, *lines = panel.lines
    assert [line.label for line in lines] == ["Gombe", *(f"s{n}" for n in range(498, 493, -1))]
    assert len(panel.lines) == MOST_LINES
    assert others.label == "494 others: median, range"
    assert others.y == [246.5, 248.5]
    assert others.band == ([0.0, 2.0], [493.0, 495.0])


def test_no_line_leads_over_days_without_a_value() -> None:
    gap = points(("s1", "pm25", [1.0, None, None, 4.0]), ("s2", "pm25", [1.0, 2.0, None, 3.0]))
    [panel] = station_panels(gap, NAMES)
    assert {line.label: line.y for line in panel.lines} == {
        "Gombe": [1.0, None, None, 4.0],
        "Plateau": [1.0, 2.0, None, 3.0],
    }
    assert [day.day for day in panel.lines[0].x] == [1, 2, 3, 4]


def test_a_level_within_reach_of_the_values_is_drawn() -> None:
    line = Line("s1", [MIDNIGHT, MIDNIGHT + HOUR], [1.0, None])
    figure = drawn("t", [Panel("u", [line], Level(2.0, "limit"))])
    assert [text.get_text() for text in figure.axes[0].texts] == ["– – limit"]


def test_names_are_distinct_and_the_id_stands_where_there_is_none() -> None:
    stations = pl.concat(
        [
            station_frame("1", name="Gombe"),
            station_frame("2", "3", name="Plateau"),
            station_frame("4", name=None),
            station_frame("5", name=" "),
        ]
    )
    assert station_names(stations) == {
        "1": "Gombe",
        "2": "Plateau (2)",
        "3": "Plateau (3)",
        "4": "4",
        "5": "5",
    }
    long = [short(f"Nairobi Industrial Area, Enterprise Road {side}") for side in ("East", "West")]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 26
