"""What the plots show of many stations: their names, the highest few, the others together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import polars as pl

from aq_assets.plots import Level, Line, Panel
from aq_science.parameters import PARAMETERS

# In the order of the panels.
SHOWN = {"pm25": "PM2.5", "co": "CO"}
# More lines than these cannot be distinguished.
MOST_LINES = 7
_LONGEST_NAME = 26


def station_names(stations: pl.DataFrame) -> dict[str, str]:
    """The stations' names by id: distinct, and the id where there is none.

    `stations` has `station_id` and `name` of `STATIONS`.
    """
    names = {
        str(station): (name or "").strip() or str(station)
        for station, name in stations.select("station_id", "name").iter_rows()
    }
    count = Counter(names.values())
    return {
        station: f"{name} ({station})" if count[name] > 1 and name != station else name
        for station, name in names.items()
    }


def short(name: str) -> str:
    """The name as far as there is room beside a plot; its end tells like names apart."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[: half - 1].rstrip()}…{name[-half:].lstrip()}"


def axis_label(parameter: str) -> str:
    """The parameter and its canonical unit."""
    return f"{SHOWN.get(parameter, parameter)} [{PARAMETERS[parameter].unit}]"


def station_panels(
    points: pl.DataFrame, names: Mapping[str, str], levels: Mapping[str, Level] | None = None
) -> list[Panel]:
    """A panel a parameter with a line a station.

    Args:
        points: `station_id`, `parameter`, `time` (UTC, or a date) and `value` in the canonical
            unit, null for a gap.
        names: Of the stations, by id.
        levels: What to compare the values of a parameter with.

    Returns:
        PM2.5 and CO, as far as there are values. Of many stations those with the highest means,
        and the others as their median and range.
    """
    drawn = highest(points)
    panels = []
    for parameter in SHOWN:
        own = points.filter(pl.col("parameter") == parameter, pl.col("value").is_not_null())
        if len(own):
            level = (levels or {}).get(parameter)
            panels.append(Panel(axis_label(parameter), _lines(own, drawn, names), level))
    return panels


def highest(points: pl.DataFrame) -> list[str]:
    """The stations that get a line of their own, highest mean first; points as above."""
    place = pl.col("parameter").cast(pl.String).replace_strict(list(SHOWN), range(len(SHOWN)))
    ordered = (
        points.filter(pl.col("parameter").is_in(list(SHOWN)), pl.col("value").is_not_null())
        .group_by(pl.col("station_id").cast(pl.String), place.alias("place"))
        .agg(pl.col("value").mean())
        .sort("place", "value", "station_id", descending=[False, True, False])
    )
    stations: list[str] = ordered["station_id"].unique(maintain_order=True).to_list()
    return stations if len(stations) <= MOST_LINES else stations[: MOST_LINES - 1]


def _lines(own: pl.DataFrame, drawn: Sequence[str], names: Mapping[str, str]) -> list[Line]:
    own = own.with_columns(pl.col("station_id").cast(pl.String))
    others = own.filter(~pl.col("station_id").is_in(drawn))
    times = _times(own["time"])
    lines = []
    if len(others):
        together = others.group_by("time").agg(
            pl.col("value").median(), low=pl.col("value").min(), high=pl.col("value").max()
        )
        whole = times.join(together, on="time", how="left", maintain_order="left")
        x, y, low, high = (whole[name].to_list() for name in ("time", "value", "low", "high"))
        label = f"{others['station_id'].n_unique()} others: median, range"
        lines.append(Line(label, x, y, (low, high), faint=True))
    parts = own.partition_by("station_id", as_dict=True)
    for station in drawn:
        if (part := parts.get((station,))) is not None:
            whole = times.join(part, on="time", how="left", maintain_order="left")
            name = short(names.get(station, station))
            lines.append(Line(name, whole["time"].to_list(), whole["value"].to_list()))
    return lines


def _times(times: pl.Series) -> pl.DataFrame:
    """Every time from the first to the last, so that no line leads over a gap."""
    stamps = times.unique().sort().to_list()
    if len(stamps) > 1:
        step = min(after - before for before, after in pairwise(stamps))
        stamps = [stamps[0] + n * step for n in range((stamps[-1] - stamps[0]) // step + 1)]
    return pl.DataFrame({"time": pl.Series(stamps, dtype=times.dtype)})
