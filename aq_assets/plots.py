"""Small pictures for the UI, as PNG in Markdown: readings, averages and forecasts at a glance."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from aq_science.windows import DAY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Kept small, since the event log keeps every picture: 10 to 25 kB each.
_WIDTH, _HEIGHT, _PANEL, _DPI = 8.4, 0.7, 1.7, 80
# What is left of the width for the names beside the data.
_RIGHT = 0.72
# Beyond so many points the lines alone are seen.
_MOST_MARKED = 60
# A level so often as high as all values is said rather than drawn: the values would lie flat.
_NEAR = 2.0
# A palette makes noisy lines a third of the size. One of fewer colours makes like lines alike.
_COLOURS = 64
# Of Okabe and Ito (2008), for all kinds of colour vision.
LINE_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#000000",
    "#b8a800",
)
OTHERS_COLOUR = "#999999"


@dataclass(frozen=True)
class Line:
    """One line: `x` are times, `y` values with None for gaps; `band` is drawn around it.

    Lines of one label have one colour, in every panel; a faint one is grey.
    """

    label: str
    x: Sequence[Any]
    y: Sequence[float | None]
    band: tuple[Sequence[float | None], Sequence[float | None]] | None = None
    faint: bool = False


class Level(NamedTuple):
    """What values are compared with, in the unit of the panel."""

    value: float
    text: str


@dataclass(frozen=True)
class Panel:
    """Lines over one axis, whose label says quantity and unit."""

    label: str
    lines: Sequence[Line]
    level: Level | None = None


def plot(title: str, panels: Sequence[Panel]) -> dg.MarkdownMetadataValue:
    """The panels below each other, over the same times (UTC); a PNG within Markdown."""
    return picture(drawn(title, panels))


def drawn(title: str, panels: Sequence[Panel]) -> Figure:
    """The figure of `plot`, with the names of its lines beside it."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, plots = empty(title, len(panels))
    lines = [line for panel in panels for line in panel.lines]
    labels = list(dict.fromkeys(line.label for line in lines if not line.faint))
    colours = {label: LINE_COLOURS[n % len(LINE_COLOURS)] for n, label in enumerate(labels)}
    handles: dict[str, Any] = {}
    for axes, panel in zip(plots, panels, strict=True):
        for line in panel.lines:
            handles.setdefault(line.label, _draw(axes, line, colours.get(line.label)))
        axes.set_ylabel(panel.label, fontsize=8)
        if panel.level is not None:
            _compare(axes, panel.level, panel.lines)
    times = [time for line in lines for time in line.x]
    if times:
        if min(times) == max(times):
            # Matplotlib stretches the axis of a lone moment over years, and warns about its ticks.
            plots[-1].set_xlim(times[0] - DAY, times[0] + DAY)
        locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
        plots[-1].xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        plots[-1].xaxis.set_major_formatter(formatter)
        plots[-1].xaxis.get_offset_text().set_fontsize(8)
        name_beside(figure, handles)
    return figure


def empty(title: str, count: int) -> tuple[Figure, list[Axes]]:
    """A figure with as many panels below each other, which share their x axis."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    height = _HEIGHT + _PANEL * max(count, 1)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    # Matplotlib's own layout draws everything once more to find the margins.
    figure.subplots_adjust(
        left=0.075, right=_RIGHT, top=1 - 0.3 / height, bottom=0.35 / height, hspace=0.08
    )
    plots: list[Axes] = []
    for n in range(max(count, 1)):
        axes = figure.add_subplot(max(count, 1), 1, n + 1, sharex=plots[0] if plots else None)
        axes.tick_params(labelsize=8, labelbottom=n >= count - 1)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(alpha=0.3)
        plots.append(axes)
    # Where it would be anyway; without a place, Matplotlib lays out every label to find one.
    plots[0].set_title(title, fontsize=10, y=1.0, loc="left")
    return figure, plots


def name_beside(figure: Figure, handles: Mapping[str, Any]) -> None:
    """What each colour stands for, to the right of the data."""
    figure.legend(
        list(handles.values()),
        list(handles),
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(_RIGHT + 0.005, figure.subplotpars.top),
        borderaxespad=0,
        frameon=False,
    )


def picture(figure: Figure) -> dg.MarkdownMetadataValue:
    """The figure as a PNG within Markdown, under its title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    whole = Image.frombuffer("RGBA", canvas.get_width_height(), pixels, "raw", "RGBA", 0, 1)
    flat = whole.convert("RGB").quantize(_COLOURS, Image.Quantize.FASTOCTREE)
    small = io.BytesIO()
    # To compress harder would save a tenth of the size and cost a quarter of a picture's time.
    flat.save(small, "png", compress_level=6)
    title = figure.axes[0].get_title(loc="left")
    encoded = base64.b64encode(small.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")


def _draw(axes: Axes, line: Line, colour: str | None) -> Any:
    colour = colour or OTHERS_COLOUR
    marker = "." if len(line.x) <= _MOST_MARKED else None
    (handle,) = axes.plot(
        line.x,
        _numbers(line.y),
        color=colour,
        linewidth=1,
        marker=marker,
        ms=3,
    )
    if line.band is not None:
        low, high = map(_numbers, line.band)
        axes.fill_between(line.x, low, high, color=colour, alpha=0.2, linewidth=0)
    return handle


def _compare(axes: Axes, level: Level, lines: Sequence[Line]) -> None:
    """Draw the level, or say where it is; beside the data, below the names."""
    highest = max((y for line in lines for y in line.y if y is not None), default=0.0)
    near = level.value <= _NEAR * highest
    if near:
        axes.axhline(level.value, color="black", linewidth=1, linestyle="--")
    axes.annotate(
        f"– – {level.text}" if near else f"{level.text},\nabove what is shown",
        (1.012, 0.0),
        xycoords="axes fraction",
        fontsize=8,
    )


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
