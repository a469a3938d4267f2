"""Small pictures for the UI, as PNG in Markdown: readings, averages and forecasts at a glance."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from aq_science.windows import DAY

# Kept small, since the event log keeps every picture: about 10 kB each.
_WIDTH, _HEIGHT, _DPI = 6.4, 2.4, 75
_MOST_LINES = 6
# A palette makes noisy lines a third of the size, and looks the same.
_COLOURS = 64


@dataclass(frozen=True)
class Line:
    """One line: `x` are times, `y` values with None for gaps; `band` is drawn around it."""

    label: str
    x: Sequence[Any]
    y: Sequence[float | None]
    band: tuple[Sequence[float | None], Sequence[float | None]] | None = None


def lines_by_station(frame: pl.DataFrame, x: str, y: str) -> list[Line]:
    """One line a station.

    Args:
        frame: Points with `station_id` and the two columns.
        x: Name of the column of times.
        y: Name of the column of values.

    Returns:
        The lines by the stations' names.
    """
    parts = frame.sort("station_id", x).partition_by(
        "station_id", as_dict=True, maintain_order=True
    )
    return [Line(str(key), part[x].to_list(), part[y].to_list()) for (key,), part in parts.items()]


def plot(title: str, unit: str, lines: Sequence[Line]) -> dg.MarkdownMetadataValue:
    """The lines as a picture; only the first few, since more would look the same.

    Args:
        title: What is shown.
        unit: Unit of the values.
        lines: The lines; their times are UTC.

    Returns:
        A PNG of some 10 kB within Markdown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI)
    # Matplotlib's own layout draws everything once more to find the margins.
    figure.subplots_adjust(left=0.1, right=0.985, top=0.89, bottom=0.15)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line in lines[:_MOST_LINES]:
        values = [float("nan") if value is None else value for value in line.y]
        (drawn,) = axes.plot(line.x, values, label=line.label, linewidth=1.2, marker=".", ms=3)
        if line.band is not None:
            low, high = ([float("nan") if v is None else v for v in edge] for edge in line.band)
            axes.fill_between(line.x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    # Where it would be anyway; without a place, Matplotlib lays out every label to find one.
    axes.set_title(title, fontsize=9, y=1.0)
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    times = [time for line in lines for time in line.x]
    if times:
        if min(times) == max(times):
            # Matplotlib stretches the axis of a lone moment over years, and warns about its ticks.
            axes.set_xlim(times[0] - DAY, times[0] + DAY)
        locator = AutoDateLocator(minticks=3, maxticks=10)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(formatter)
        axes.legend(fontsize=7, loc="upper left", framealpha=0.6)
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    whole = Image.frombuffer("RGBA", canvas.get_width_height(), drawn, "raw", "RGBA", 0, 1)
    picture = whole.convert("RGB").quantize(_COLOURS)
    small = io.BytesIO()
    picture.save(small, "png", optimize=True)
    encoded = base64.b64encode(small.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
