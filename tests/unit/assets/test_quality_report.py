"""What is shown of data quality: a calendar and bars of the last weeks, and the worst series."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import polars as pl

from aq_assets.calendars import Bars, bars, calendar
from aq_assets.quality_report import (
    QualityTally,
    day_details,
    flagged_hours,
    revised_hours,
    valid_shares,
)
from aq_science.tables.data_quality import DATA_QUALITY
from tests.factories import DAY

FIRST = date(2024, 3, 1)
DAYS = [FIRST + n * DAY for n in range(3)]
NAMES = {"s1": "Gombe", "s2": "Plateau"}


def quality(*rows: dict[str, Any]) -> pl.DataFrame:
    default = {
        "network": "airqino",
        "station_id": "s1",
        "parameter": "pm25",
        "date": FIRST,
        "hours_expected": 24,
        "hours_present": 24,
        "hours_valid": 24,
        "hours_suspect": 0,
        "hours_invalid": 0,
        "hours_missing": 0,
        "hours_revised": 0,
        "mean_coverage": None,
        "tests": [],
    }
    return pl.DataFrame(
        [{**default, **row} for row in rows], schema=DATA_QUALITY.schema, orient="row"
    )


WEEKS = quality(
    {},
    {"date": DAYS[1], "hours_valid": 12, "hours_suspect": 12, "hours_revised": 3}
    | {"tests": [{"test": "spike", "hours": 12}, {"test": "flat_line", "hours": 2}]},
    {"date": DAYS[2]},
    {"parameter": "co", "date": DAYS[2], "hours_valid": 0, "hours_missing": 24}
    | {"hours_present": 0, "hours_revised": 1},
    {"station_id": "s2", "date": DAYS[2], "hours_valid": 18, "hours_invalid": 6}
    | {"tests": [{"test": "spike", "hours": 6}]},
)


def test_shares_of_each_station_the_worst_first() -> None:
    assert valid_shares(WEEKS, DAYS, NAMES) == {
        "Gombe": [100.0, 50.0, 50.0],
        "Plateau": [None, None, 75.0],
    }


def test_many_stations_are_the_worst_and_the_others_together() -> None:
    rows = [{"station_id": f"s{n:02}", "hours_valid": n % 24} for n in range(48)]
    shares = valid_shares(quality(*rows), [FIRST], {})
    assert len(shares) == 30
    assert list(shares)[:2] == ["s00", "s24"]
    assert list(shares)[-1] == "19 others"
    whole = sum(n % 24 for n in range(48))
    named = sum(24 * (values[0] or 0) / 100 for name, values in shares.items() if name[0] == "s")
    assert 19 * 24 * (shares["19 others"][0] or 0) / 100 == whole - round(named)


def test_hours_by_test_and_revisions_of_each_day() -> None:
    assert flagged_hours(WEEKS, DAYS) == {"spike": [0, 12, 6], "flat_line": [0, 2, 0]}
    assert revised_hours(WEEKS, DAYS) == [0, 3, 1]
    many = quality({"tests": [{"test": f"t{n}", "hours": 9 - n} for n in range(9)]})
    assert list(flagged_hours(many, [FIRST])) == ["t0", "t1", "t2", "t3", "t4", "other tests"]
    assert flagged_hours(many, [FIRST])["other tests"] == [4 + 3 + 2 + 1]


def test_the_calendar_names_stations_and_days() -> None:
    figure = calendar("t", DAYS, valid_shares(WEEKS, DAYS, NAMES), "valid hours [%]")
    axes, key = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Gombe", "Plateau"]
    assert [text.get_text() for text in axes.get_xticklabels()][-1] == "03 Mar 2024"
    assert key.get_ylabel() == "valid hours [%]"


def test_bars_stand_on_each_other() -> None:
    figure = bars("t", DAYS, [Bars("h", {"a": [1, 2, 3], "b": [1, 0, 1]})])
    second = figure.axes[0].containers[1]
    assert [bar.get_y() for bar in second] == [1, 2, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_a_run_shows_the_weeks_before_it_and_counts_its_own_days() -> None:
    tally = QualityTally("AirQino", NAMES, lambda: WEEKS)
    last = WEEKS.filter(pl.col("date") == DAYS[2])
    tally.add(last)
    shown = tally.metadata()
    assert shown["coverage_calendar"].value.startswith("![AirQino: valid hours by UTC day")
    assert "image/png" in shown["flags_and_revisions"].value
    assert shown["run"] == {
        "valid_percent": 58.3,
        "hours_expected": 72,
        "hours_valid": 42,
        "hours_suspect": 0,
        "hours_invalid": 6,
        "hours_missing": 24,
        "hours_revised": 1,
    }
    worst = shown["worst_of_last_day"].records[0].data
    assert (worst["station"], worst["parameter"], worst["hours_missing"]) == ("Gombe", "co", 24)
    assert shown["worst_of_last_day"].records[1].data["tests"] == "spike 6"
    day = day_details(last)[DAYS[2]]
    assert day == {"stations": 2, **shown["run"]}


def test_what_cannot_be_read_beside_the_run_costs_the_pictures_alone() -> None:
    def fail() -> pl.DataFrame:
        raise duckdb.IOException("no such file")

    tally = QualityTally("AirQino", NAMES, fail)
    tally.add(WEEKS)
    shown = tally.metadata()
    assert shown["plot"] == "There is none: no such file"
    assert "run" in shown
