"""What a person sees of data quality: a calendar, bars by quality test, the worst of a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl

from aq_assets.calendars import Bars, bars, calendar
from aq_assets.metadata import percent
from aq_assets.panels import short
from aq_assets.plots import picture
from aq_assets.stream import Tally
from aq_resources.io_managers import RUN
from aq_science.data_quality import hours_by_test
from aq_science.windows import Window

# More rows cannot be read, and more tests not be distinguished.
_MOST_STATIONS, _MOST_TESTS = 30, 6
_LISTED = (
    "station_id",
    "parameter",
    "hours_valid",
    "hours_suspect",
    "hours_invalid",
    "hours_missing",
    "hours_revised",
    "mean_coverage",
)
_COUNTED = ("expected", "valid", "suspect", "invalid", "missing", "revised")


def day_details(quality: pl.DataFrame) -> dict[date, dict[str, Any]]:
    """The numbers that the UI plots over days, by day."""
    days = quality.group_by("date").agg(
        pl.col("station_id").n_unique().alias("stations"),
        *(pl.col(f"hours_{name}").sum() for name in _COUNTED),
    )
    found = {}
    for row in days.iter_rows(named=True):
        day = row.pop("date")
        share = percent(row["hours_valid"], row["hours_expected"])
        found[day] = {**row, "valid_percent": share}
    return found


class QualityTally(Tally):
    """Hours by flag over the run, the worst series of its last day, and the last weeks drawn."""

    newest_by = "date"

    def __init__(
        self, network: str, names: Mapping[str, str], recent: Callable[[], pl.DataFrame]
    ) -> None:
        """Counts nothing yet.

        Args:
            network: Its title.
            names: Of its stations, by id.
            recent: Reads what is drawn once all chunks are stored: `DATA_QUALITY` rows of the UTC
                days up to the run's last.
        """
        super().__init__(names)
        self.network = network
        self.recent = recent
        self.hours = dict.fromkeys(_COUNTED, 0)

    def count(self, frame: pl.DataFrame) -> None:
        for name in _COUNTED:
            self.hours[name] += int(frame[f"hours_{name}"].sum())

    def counts(self) -> dict[str, Any]:
        share = percent(self.hours["valid"], self.hours["expected"])
        hours = {f"hours_{name}": number for name, number in self.hours.items()}
        return {RUN: {"valid_percent": share, **hours}}

    def pictures(self, points: pl.DataFrame) -> dict[str, Any]:  # noqa: ARG002
        recent = self.recent()
        dates = recent["date"].to_list()
        days = Window.of_days(min(dates), max(dates)).dates
        return {
            "coverage_calendar": picture(
                calendar(
                    f"{self.network}: valid hours by UTC day, all parameters (grey: none due)",
                    days,
                    valid_shares(recent, days, self.names),
                    "valid hours [%]",
                )
            ),
            "flags_and_revisions": picture(
                bars(
                    f"{self.network}: hours by UTC day, all stations and parameters",
                    days,
                    [
                        Bars("hours by test [h]", flagged_hours(recent, days)),
                        Bars("revised [h]", {"revised by network": revised_hours(recent, days)}),
                    ],
                )
            ),
        }

    def tables(self) -> dict[str, pl.DataFrame]:
        tests = pl.col("tests").list.eval(
            pl.format("{} {}", pl.element().struct["test"], pl.element().struct["hours"])
        )
        worst = self.newest.sort("hours_valid", "station_id", "parameter")
        return {"worst_of_last_day": worst.select(*_LISTED, tests=tests.list.join(", "))}


def valid_shares(
    quality: pl.DataFrame, days: list[date], names: Mapping[str, str]
) -> dict[str, list[float | None]]:
    """The per cent of valid hours of each station and day.

    Args:
        quality: `DATA_QUALITY` rows.
        days: The UTC days, in order.
        names: Of the stations, by id.

    Returns:
        By name, the fewest valid hours first; None where a day has no row. Of many stations the
        worst, and the others together.
    """
    stations = quality.with_columns(pl.col("station_id").cast(pl.String))
    worst = _shares(stations, "station_id").sort("share", "station_id")["station_id"].to_list()
    if len(worst) > _MOST_STATIONS:
        worst = worst[: _MOST_STATIONS - 1]
    label = {station: short(names.get(station, station)) for station in worst}
    others = stations["station_id"].n_unique() - len(worst)
    row = pl.col("station_id").replace_strict(label, default=f"{others} others")
    shares = _shares(stations.with_columns(row=row), "row", "date")
    by_day = {(name, day): share for name, day, share in shares.iter_rows()}
    rows = [*label.values(), *([f"{others} others"] if others else [])]
    return {name: [by_day.get((name, day)) for day in days] for name in rows}


def _shares(quality: pl.DataFrame, *by: str) -> pl.DataFrame:
    share = 100 * pl.col("hours_valid").sum() / pl.col("hours_expected").sum()
    return quality.group_by(by).agg(share=share)


def flagged_hours(quality: pl.DataFrame, days: list[date]) -> dict[str, list[float]]:
    """Hours on which each test fired on each of the days; the most frequent tests, and the rest."""
    found = hours_by_test(quality)
    total = found.group_by("test").agg(pl.col("hours").sum())
    tests = total.sort("hours", "test", descending=[True, False])["test"].to_list()
    alone = tests if len(tests) <= _MOST_TESTS else tests[: _MOST_TESTS - 1]
    rest = "other tests"
    parts = {
        name: [0.0] * len(days) for name in [*alone, *([rest] if len(tests) > len(alone) else [])]
    }
    place = {day: n for n, day in enumerate(days)}
    for day, test, hours in found.iter_rows():
        parts[test if test in parts else rest][place[day]] += hours
    return parts


def revised_hours(quality: pl.DataFrame, days: list[date]) -> list[float]:
    """Hours of each of the days that the network changed."""
    revised = dict(quality.group_by("date").agg(pl.col("hours_revised").sum()).iter_rows())
    return [float(revised.get(day, 0)) for day in days]
