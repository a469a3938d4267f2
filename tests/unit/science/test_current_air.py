"""Newest readings and forecasts side by side, and the categories of now."""

from __future__ import annotations

import polars as pl
import pytest

from aq_science.current_air import current_categories, latest, worst_categories
from aq_science.tables.current_categories import CURRENT_CATEGORIES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.latest import LATEST
from tests.factories import HOUR, forecast_frame, hourly, station_frame, utc

NOW = utc(2024, 3, 1, 12, 20)
MORNING = utc(2024, 3, 1)
NO_READINGS = HOURLY_READINGS.schema.to_frame()
NO_FORECASTS = FORECASTS.schema.to_frame()


class TestLatest:
    def test_the_newest_valid_hour_counts_whatever_comes_after_it(self) -> None:
        readings = hourly([1.0, 2.0, 3.0], MORNING, flag=["valid", "valid", "suspect"])
        [row] = latest(readings, NO_FORECASTS, station_frame("s1")).to_dicts()
        assert (row["hour"], row["value"], row["unit"]) == (MORNING + HOUR, 2.0, "µg/m³")
        assert (row["name"], row["latitude"]) == ("somewhere", 5.3)
        assert row["forecast_1_value"] is None

    def test_the_newest_issue_counts_with_both_horizons(self) -> None:
        forecasts = pl.concat([forecast_frame(MORNING, 1.0), forecast_frame(MORNING + HOUR, 5.0)])
        [row] = latest(NO_READINGS, forecasts, station_frame("s1")).to_dicts()
        assert row["issued_for"] == MORNING + HOUR
        assert (row["forecast_1_hour"], row["forecast_2_hour"]) == (
            MORNING + HOUR,
            MORNING + 2 * HOUR,
        )
        assert (row["forecast_1_lower_80"], row["forecast_2_upper_80"]) == (4.0, 6.0)
        assert (row["unit"], row["hour"]) == ("µg/m³", None)

    def test_series_of_all_networks_are_sorted_by_their_key(self) -> None:
        readings = pl.concat(
            [
                hourly([1.0], MORNING, network="openaq"),
                hourly([2.0], MORNING, station="s2"),
                hourly([3.0], MORNING, parameter="co"),
            ]
        )
        found = latest(readings, forecast_frame(MORNING, 1.0), station_frame("s1"))
        assert found.columns == LATEST.schema.names()
        keys = found.select(LATEST.key).rows()
        assert keys == [
            ("airqino", "s1", "co"),
            ("airqino", "s1", "pm25"),
            ("airqino", "s2", "pm25"),
            ("openaq", "s1", "pm25"),
        ]
        assert found["name"].to_list() == ["somewhere", "somewhere", None, None]

    def test_nothing_comes_of_nothing(self) -> None:
        assert latest(NO_READINGS, NO_FORECASTS, station_frame("s1")).is_empty()


class TestCategories:
    def test_now_is_the_nowcast_and_the_next_hours_are_the_forecasts(self) -> None:
        readings = hourly([20.0] * 12, MORNING)
        found = current_categories(readings, forecast_frame(utc(2024, 3, 1, 12), 8.0), NOW)
        assert found.columns == CURRENT_CATEGORIES.schema.names()
        rows = found.select("horizon", "hour", "value", "aqi", "category", "rank", "basis").rows()
        assert rows == [
            (0, utc(2024, 3, 1, 11), pytest.approx(20.0), 71, "Moderate", 2, "nowcast"),
            (1, utc(2024, 3, 1, 12), 8.0, None, "Good", 1, "forecast"),
            (2, utc(2024, 3, 1, 13), 8.0, None, "Good", 1, "forecast"),
        ]
        assert found["colour"].to_list() == ["#FFFF00", "#00E400", "#00E400"]
        assert found["unit"].unique().to_list() == ["µg/m³"]

    def test_old_hours_say_nothing_of_now(self) -> None:
        readings = hourly([20.0] * 8, MORNING)
        assert current_categories(readings, NO_FORECASTS, NOW).is_empty()

    def test_an_hour_that_has_ended_is_not_to_come(self) -> None:
        found = current_categories(NO_READINGS, forecast_frame(utc(2024, 3, 1, 11), 8.0), NOW)
        assert found["hour"].to_list() == [utc(2024, 3, 1, 12)]
        ended = forecast_frame(utc(2024, 3, 1, 10), 8.0)
        assert current_categories(NO_READINGS, ended, NOW).is_empty()

    def test_a_forecast_without_a_category_is_left_out(self) -> None:
        forecasts = forecast_frame(utc(2024, 3, 1, 12), 8.0).with_columns(
            aqi_category=pl.lit(None, FORECASTS.schema["aqi_category"])
        )
        assert current_categories(NO_READINGS, forecasts, NOW).is_empty()

    def test_the_worst_parameter_is_the_stations(self) -> None:
        readings = pl.concat(
            [hourly([20.0] * 12, MORNING), hourly([400.0] * 12, MORNING, parameter="pm10")]
        )
        worst = worst_categories(current_categories(readings, NO_FORECASTS, NOW))
        assert [*worst] == [0]
        assert (worst[0]["parameter"], worst[0]["category"]) == ("pm10", "Very Unhealthy")
