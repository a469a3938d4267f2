"""What the UI shows of scores: numbers by day, counts, the last day."""

from datetime import date
from typing import Any

import polars as pl

from aq_assets.forecast_scores import ScoreTally, day_details
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
    }
    return pl.DataFrame(
        [{**default, **row} for row in rows], schema=FORECAST_SCORES.schema, orient="row"
    )


def test_numbers_of_each_day_by_parameter() -> None:
    frame = scores(
        {},
        {"horizon": 2, "n": 30, "mae": 5.0, "mae_persistence": 8.0, "coverage_80": 0.6},
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
            "n_co": 10,
            "mae_co_mg_m3": 3.0,
            "coverage_80_co": 0.8,
        },
        SECOND: {
            "n_pm25": 1,
            "mae_pm25_ug_m3": 3.0,
            "mae_persistence_pm25_ug_m3": 4.0,
            "skill_pm25": 0.25,
            "coverage_80_pm25": 0.8,
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
    assert shown["plot"].value.startswith("![PM2.5, mean absolute error")


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
