"""What the UI shows of scores: numbers by day, counts, the last day, pictures."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from aq_assets.plots import Level
from aq_assets.reliability import reliability
from aq_assets.score_report import (
    ScorePictures,
    ScoreTally,
    day_details,
    shares_held,
    skill_panels,
)
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.windows import Window
from tests.factories import forecast_frame, utc

FIRST, SECOND = date(2024, 3, 1), date(2024, 3, 2)


def scores(*rows: dict[str, Any]) -> pl.DataFrame:
    default = {
        "network": "airqino",
        "station_id": "s1",
        "parameter": "pm25",
        "horizon": 1,
        "date": FIRST,
        "mode": "live",
        "n": 10,
        "mae": 3.0,
        "rmse": 4.0,
        "bias": 1.0,
        "mae_persistence": 4.0,
        "skill": 0.25,
        "coverage_80": 0.8,
        "coverage_95": 0.9,
        "interval_score_80": 12.0,
        "n_persistence": 10,
    }
    return pl.DataFrame(
        [{**default, **row} for row in rows], schema=FORECAST_SCORES.schema, orient="row"
    )


def test_numbers_of_each_day_by_parameter() -> None:
    frame = scores(
        {},
        {
            "horizon": 2,
            "n": 30,
            "n_persistence": 30,
            "mae": 5.0,
            "mae_persistence": 8.0,
            "skill": 0.375,
            "coverage_80": 0.6,
        },
        {"parameter": "co", "mae_persistence": None, "skill": None},
        {"date": SECOND, "n": 1},
    )
    assert day_details(frame) == {
        FIRST: {
            "n_pm25": 40,
            "mae_pm25_ug_m3": 4.5,
            "mae_persistence_pm25_ug_m3": 7.0,
            "skill_pm25": 0.357,
            "coverage_80_pm25": 0.65,
            "coverage_95_pm25": 0.9,
            "interval_score_80_pm25_ug_m3": 12.0,
            "n_co": 10,
            "mae_co_mg_m3": 3.0,
            "coverage_80_co": 0.8,
            "coverage_95_co": 0.9,
            "interval_score_80_co_mg_m3": 12.0,
        },
        SECOND: {
            "n_pm25": 1,
            "mae_pm25_ug_m3": 3.0,
            "mae_persistence_pm25_ug_m3": 4.0,
            "skill_pm25": 0.25,
            "coverage_80_pm25": 0.8,
            "coverage_95_pm25": 0.9,
            "interval_score_80_pm25_ug_m3": 12.0,
        },
    }
    assert day_details(scores()) == {}


def test_tally_of_two_chunks() -> None:
    tally = ScoreTally()
    issued = forecast_frame(utc(2024, 3, 1, 5), 1.0, stations=("s1", "s2"))
    tally.count_issued(Window.of_days(FIRST, SECOND), issued)
    tally.add(scores({"n": 3}))
    tally.count_issued(Window.of_days(date(2024, 3, 3), date(2024, 3, 5)), issued.clear())
    tally.add(scores())
    shown = tally.metadata()
    assert (shown["forecasts"], shown["scored"], shown["not_scored"]) == (4, 3, 1)
    assert shown["days_without_forecasts"] == 1 + 3
    assert [record.data["date"] for record in shown["last_day"].records] == ["2024-03-01"]


def test_pictures_show_the_run_and_the_weeks_before() -> None:
    weeks = pl.concat(
        scores({"date": SECOND - timedelta(days=n)}, {"parameter": "co", "horizon": 2})
        for n in range(40)
    )
    tally = ScorePictures({"s1": "Somewhere"}, lambda: weeks)
    tally.add(scores({}))
    shown = tally.metadata()
    titles = {
        name: str(value.md_str).split("]")[0]
        for name, value in shown.items()
        if isinstance(value, dg.MarkdownMetadataValue)
    }
    assert titles == {
        "plot": "![PM2.5, mean absolute error by day of issue",
        "skill": "![Skill over persistence by day of issue, all stations (UTC)",
        "reliability": "![Readings within the intervals, all stations, last 56 days",
    }
    assert shown["last_day"].records[0].data["station"] == "Somewhere"


def test_skill_has_a_panel_a_parameter_and_a_line_a_horizon() -> None:
    third = SECOND + timedelta(days=1)
    frame = scores(
        {},
        {"date": third, "skill": -0.5},
        {"date": third, "horizon": 2, "skill": 0.5},
        {"parameter": "co", "skill": None, "mae_persistence": 0.0},
    )
    (panel,) = skill_panels(frame)
    assert panel.label == "PM2.5, skill [%]"
    assert panel.level == Level(0.0, "persistence")
    lines = {line.label: (line.x, line.y) for line in panel.lines}
    days = [FIRST, SECOND, third]
    assert lines == {
        "1 h ahead": (days, [pytest.approx(25), None, pytest.approx(-50)]),
        "2 h ahead": (days, [None, None, pytest.approx(50)]),
    }
    assert skill_panels(scores()) == []


def test_reliability_is_pooled_by_parameter_and_horizon() -> None:
    frame = scores(
        {"n": 30}, {"date": SECOND, "coverage_80": 0.4, "coverage_95": 0.5}, {"parameter": "co"}
    )
    shares = shares_held(frame)
    assert shares == {
        "PM2.5, 1 h ahead": [pytest.approx(70), pytest.approx(80)],
        "CO, 1 h ahead": [pytest.approx(80), pytest.approx(90)],
    }
    axes = reliability("Readings within", (80, 95), shares).axes[0]
    diagonal, *lines = (np.asarray(line.get_xydata()).tolist() for line in axes.get_lines())
    assert diagonal == [[75, 75], [100, 100]]
    assert lines == [[[80, low], [95, high]] for low, high in shares.values()]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "80 % interval",
        "95 % interval",
    ]
    assert axes.get_ylabel() == "observed [%]"


def test_tally_of_nothing_draws_nothing() -> None:
    tally = ScoreTally()
    nothing = forecast_frame(utc(2024, 3), 1.0).clear()
    tally.count_issued(Window.of_days(FIRST, FIRST), nothing)
    tally.add(scores())
    assert tally.metadata() == {
        "forecasts": 0,
        "scored": 0,
        "not_scored": 0,
        "days_without_forecasts": 1,
    }
