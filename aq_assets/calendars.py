"""Pictures of days: a calendar of shares, and stacked bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from aq_assets.plots import LINE_COLOURS, OTHERS_COLOUR, empty, name_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _DPI, _ROW, _AROUND = 8.4, 80, 0.17, 0.75
# From red to blue, which no kind of colour blindness confuses, in steps of ten per cent.
_COLOURS, _STEPS = "RdYlBu", 10
_NO_ROW = "#e8e8e8"
_DAYS_A_LABEL = 7


@dataclass(frozen=True)
class Bars:
    """Bars over days in parts on top of each other, each with a number a day."""

    label: str
    parts: Mapping[str, Sequence[float]]


def calendar(
    title: str, days: Sequence[date], shares: Mapping[str, Sequence[float | None]], label: str
) -> Figure:
    """A row of coloured days for each name.

    Args:
        title: What is shown.
        days: The columns.
        shares: By name what each day has, in per cent; None is grey.
        label: What the colours say, with its unit.

    Returns:
        The figure.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    height = _AROUND + _ROW * max(len(shares), 6)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    figure.subplots_adjust(left=0.25, right=0.89, top=1 - 0.3 / height, bottom=0.35 / height)
    axes = figure.add_subplot()
    colours = colormaps[_COLOURS].resampled(_STEPS).with_extremes(bad=_NO_ROW)
    cells = np.array(list(shares.values()), dtype=float).reshape(len(shares), len(days))
    shown = axes.imshow(cells, cmap=colours, vmin=0, vmax=100, aspect="auto", interpolation="none")
    axes.set_yticks(range(len(shares)), list(shares), fontsize=8)
    axes.set_xticks([n - 0.5 for n in range(1, len(days))], minor=True)
    axes.set_yticks([n - 0.5 for n in range(1, len(shares))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    _name_days(axes, days)
    axes.set_title(title, fontsize=10, y=1.0, loc="left")
    key = figure.colorbar(
        shown, cax=figure.add_axes((0.905, 0.35 / height, 0.018, 1 - 0.65 / height))
    )
    key.set_label(label, fontsize=8)
    key.ax.tick_params(labelsize=8)
    return figure


def bars(title: str, days: Sequence[date], panels: Sequence[Bars]) -> Figure:
    """Panels of bars below each other, over the same days, with the parts' names beside them.

    Args:
        title: What is shown.
        days: One bar each.
        panels: From the top; each has a number for every day.

    Returns:
        The figure.
    """
    figure, plots = empty(title, len(panels))
    handles: dict[str, Any] = {}
    colours = iter([*LINE_COLOURS, *[OTHERS_COLOUR] * 99])
    for axes, panel in zip(plots, panels, strict=True):
        below = [0.0] * len(days)
        for name, numbers in panel.parts.items():
            handles[name] = axes.bar(
                range(len(days)), numbers, bottom=below, color=next(colours), width=0.8
            )
            below = [low + number for low, number in zip(below, numbers, strict=True)]
        axes.set_ylabel(panel.label, fontsize=8)
        axes.set_ylim(0, max([1.0, *below]) * 1.05)
        axes.set_axisbelow(True)
        axes.locator_params(axis="y", integer=True)
    _name_days(plots[-1], days)
    name_beside(figure, handles)
    return figure


def _name_days(axes: Axes, days: Sequence[date]) -> None:
    """Label each seventh day, counted back from the last."""
    places = range((len(days) - 1) % _DAYS_A_LABEL, len(days), _DAYS_A_LABEL)
    axes.set_xticks(list(places), [f"{days[n]:%d %b %Y}" for n in places], fontsize=8)
