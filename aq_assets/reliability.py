"""A picture of prediction intervals: how often they hold, against how often they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aq_assets.plots import LINE_COLOURS, empty, name_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of the axis around the nominal shares, in per cent.
_MARGIN = 5


def reliability(
    title: str, nominal: Sequence[float], observed: Mapping[str, Sequence[float]]
) -> Figure:
    """Observed over nominal shares; on the dashed diagonal intervals hold what they say.

    Args:
        title: What is shown.
        nominal: What the intervals say, in per cent, ascending.
        observed: By name the share of readings within each of them, in per cent.

    Returns:
        The figure.
    """
    figure, (axes,) = empty(title, 1)
    ends = (nominal[0] - _MARGIN, min(100, nominal[-1] + _MARGIN))
    (ideal,) = axes.plot(ends, ends, color="black", linewidth=1, linestyle="--")
    handles: dict[str, Any] = {"as nominal": ideal}
    for n, (name, shares) in enumerate(observed.items()):
        colour = LINE_COLOURS[n % len(LINE_COLOURS)]
        (handles[name],) = axes.plot(
            nominal, shares, color=colour, linewidth=1, marker="o", markersize=4
        )
    axes.set_xticks(list(nominal), [f"{share:g} % interval" for share in nominal])
    axes.set_ylabel("observed [%]", fontsize=8)
    name_beside(figure, handles)
    return figure
