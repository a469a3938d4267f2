"""Small pictures for the UI, as PNG in Markdown: readings, averages and forecasts at a glance."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

# Kept small, since the event log keeps every picture for ever: about 10 kB each.
_WIDTH, _HEIGHT, _DPI = 6.4, 2.4, 75
_MOST_LINES = 6


@dataclass(frozen=True)
class Line:
    """One line: ``x`` are times, ``y`` values with None for gaps; ``band`` is drawn around it."""

    label: str
    x: Sequence[Any]
    y: Sequence[float | None]
    band: tuple[Sequence[float | None], Sequence[float | None]] | None = None


def plot(title: str, unit: str, lines: Sequence[Line]) -> dg.MarkdownMetadataValue:
    """The lines as a picture; only the first few, since more cannot be told apart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line in lines[:_MOST_LINES]:
        values = [float("nan") if value is None else value for value in line.y]
        (drawn,) = axes.plot(line.x, values, label=line.label, linewidth=1.2, marker=".", ms=3)
        if line.band is not None:
            low, high = ([float("nan") if v is None else v for v in edge] for edge in line.band)
            axes.fill_between(line.x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    axes.set_title(title, fontsize=9)
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if any(len(line.x) for line in lines):
        locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(formatter)
        axes.legend(fontsize=7, loc="upper left", framealpha=0.6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
