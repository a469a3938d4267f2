"""What a person sees of scores: counts, numbers by day, skill over time, intervals held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl

from aq_assets.metadata import rounded, unit_key
from aq_assets.panels import SHOWN, axis_label
from aq_assets.plots import Level, Line, Panel, picture, plot
from aq_assets.reliability import reliability
from aq_assets.stream import Tally
from aq_science.forecasting.scores import pooled_scores
from aq_science.windows import DAY, Window

# What skill and reliability show, up to the run's last day.
REPORTED = 56 * DAY
_NOMINAL = (80, 95)
_SHOWN = (
    "station_id",
    "parameter",
    "horizon",
    "date",
    "model",
    "mode",
    "n",
    "mae",
    "bias",
    "mae_persistence",
    "skill",
    "coverage_80",
    "coverage_95",
    "interval_score_80",
)
# Those in the parameter's unit say it.
_BY_DAY = {
    "n": False,
    "mae": True,
    "mae_persistence": True,
    "skill": False,
    "coverage_80": False,
    "coverage_95": False,
    "interval_score_80": True,
}


def day_details(scores: pl.DataFrame) -> dict[date, dict[str, Any]]:
    """The numbers that the UI plots over days, by day: all stations, horizons and modes."""
    days: dict[date, dict[str, Any]] = {}
    for row in pooled_scores(scores, "date", "parameter").iter_rows(named=True):
        parameter = row["parameter"]
        numbers = days.setdefault(row["date"], {})
        for name, in_unit in _BY_DAY.items():
            if (value := row[name]) is not None:
                key = f"{name}_{parameter}"
                numbers[unit_key(key, parameter) if in_unit else key] = (
                    rounded(value) if isinstance(value, float) else value
                )
    return days


class ScoreTally(Tally):
    """How many forecasts were scored, and the last day's scores."""

    newest_by = "date"

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        super().__init__(names)
        self.forecasts = 0
        self.scored = 0
        self.days_without_forecasts = 0

    def count_issued(self, window: Window, forecasts: pl.DataFrame) -> None:
        """Count the forecasts that were issued in a chunk, and its days without any."""
        self.forecasts += len(forecasts)
        days = forecasts["issued_for"].dt.date().n_unique()
        self.days_without_forecasts += len(window.dates) - days

    def count(self, frame: pl.DataFrame) -> None:
        self.scored += int(frame["n"].sum())

    def counts(self) -> dict[str, Any]:
        return {
            "forecasts": self.forecasts,
            "scored": self.scored,
            "not_scored": self.forecasts - self.scored,
            "days_without_forecasts": self.days_without_forecasts,
        }

    def tables(self) -> dict[str, pl.DataFrame]:
        shown = [name for name in _SHOWN if name in self.newest.columns]
        return {"last_day": self.newest.select(shown)}


class ScorePictures(ScoreTally):
    """The errors of PM2.5 over the run, and skill and intervals of the last weeks, beside it."""

    def __init__(self, names: Mapping[str, str], recent: Callable[[], pl.DataFrame]) -> None:
        """Counts nothing yet.

        `names`: of the stations, by id. `recent`: reads what is drawn once all chunks are stored,
        `FORECAST_SCORES` rows of the days up to the run's last.
        """
        super().__init__(names)
        self.recent = recent

    def points(self, frame: pl.DataFrame) -> pl.DataFrame:
        return pooled_scores(frame.filter(pl.col("parameter") == "pm25"), "date")

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:
        recent = self.recent()
        shown: dict[str, Any] = {}
        if len(points):
            days = points["date"].to_list()
            lines = [
                Line("forecast", days, points["mae"].to_list()),
                Line("persistence", days, points["mae_persistence"].to_list()),
            ]
            panels = [Panel(axis_label("pm25"), lines)]
            shown["plot"] = plot("PM2.5, mean absolute error by day of issue", panels)
        if panels := skill_panels(recent):
            shown["skill"] = plot(
                "Skill over persistence by day of issue, all stations (UTC)", panels
            )
        if shares := shares_held(recent):
            shown["reliability"] = picture(
                reliability(
                    f"Readings within the intervals, all stations, last {REPORTED.days} days",
                    _NOMINAL,
                    shares,
                )
            )
        return shown


def skill_panels(recent: pl.DataFrame) -> list[Panel]:
    """A panel a parameter with a line a horizon over days; `recent` has `FORECAST_SCORES` rows."""
    pooled = pooled_scores(recent, "parameter", "horizon", "date").drop_nulls("skill")
    if pooled.is_empty():
        return []
    # Every day, so that no line leads over a gap.
    days = Window.of_days(*pooled.select(first=pl.min("date"), last=pl.max("date")).row(0)).dates
    lines: dict[str, list[Line]] = {}
    for (parameter, horizon), part in pooled.partition_by(
        "parameter", "horizon", as_dict=True
    ).items():
        skill = dict(part.select("date", 100 * pl.col("skill")).iter_rows())
        line = Line(f"{horizon} h ahead", days, [skill.get(day) for day in days])
        lines.setdefault(parameter, []).append(line)
    return [
        Panel(f"{name}, skill [%]", lines[parameter], Level(0.0, "persistence"))
        for parameter, name in SHOWN.items()
        if parameter in lines
    ]


def shares_held(recent: pl.DataFrame) -> dict[str, list[float]]:
    """Per cent of the readings within the 80 and 95 % intervals, by parameter and horizon."""
    pooled = pooled_scores(recent, "parameter", "horizon")
    return {
        f"{SHOWN.get(row['parameter'], row['parameter'])}, {row['horizon']} h ahead": [
            100 * row[f"coverage_{nominal}"] for nominal in _NOMINAL
        ]
        for row in pooled.iter_rows(named=True)
    }
