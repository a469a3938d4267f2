"""Conditions that spoiled averages elsewhere: faults are flagged, what only looks odd is not."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from aq_science.averages import daily_averages
from aq_science.quality.runs import with_runs
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from tests.factories import DAY, HOUR, MIDNIGHT, versions

FIRST = MIDNIGHT.date()


def flagged(
    values: Sequence[float | None], parameter: str = "pm25", unit: str = "µg/m³", **rest: Any
) -> pl.DataFrame:
    """Hourly readings from midnight on; None leaves an hour out."""
    rows = [
        {
            "parameter": parameter,
            "unit_native": unit,
            "hour": MIDNIGHT + n * HOUR,
            "value_native": value,
            "pulled_at": MIDNIGHT + 40 * DAY,
            **rest,
        }
        for n, value in enumerate(values)
        if value is not None
    ]
    return hourly_readings(fold_versions(versions(*rows)), "airqino")


def mean_of(readings: pl.DataFrame) -> tuple[float | None, int]:
    [day] = daily_averages(readings, {}, (FIRST, FIRST)).to_dicts()
    return day["mean"], day["hours_valid"]


def reasons(readings: pl.DataFrame) -> list[str]:
    """Those that make a reading other than valid."""
    bad = readings.filter(pl.col("flag") != "valid")
    return sorted(set(bad["reasons"].explode().to_list()))


CO_DAY = [0.4, 0.41, 0.39, 0.42, 0.45, 0.4, 0.38, 0.43] * 3


class TestScaledCodes:
    @pytest.mark.parametrize("at", [(5,), (3, 9, 15), (10, 11, 12)])
    def test_co_of_9_999_ppm_among_normal_hours(self, at: tuple[int, ...]) -> None:
        ppm = [9.999 if n in at else value / 1.1644 for n, value in enumerate(CO_DAY)]
        found = flagged(ppm, "co", "ppm")
        assert found["flag"].to_list() == ["suspect" if n in at else "valid" for n in range(24)]
        assert mean_of(found)[1] == 24 - len(at)

    def test_a_real_episode_rises_and_falls(self) -> None:
        high = [0.4] * 8 + [1.2, 3.1, 6.8, 11.64, 12.9, 9.1, 5.2, 2.4, 1.1] + [0.5] * 7
        ppm = [value / 1.1644 + 0.001 * n for n, value in enumerate(high)]
        found = flagged(ppm, "co", "ppm")
        assert set(found["flag"]) == {"valid"}


def delhi(real_cases: Path) -> pl.DataFrame:
    zone = ZoneInfo("Asia/Kolkata")
    rows = []
    with (real_cases / "delhi" / "winter_hours.csv").open() as lines:
        for line in csv.DictReader(lines):
            ends = datetime.fromisoformat(line["ends_local"]).replace(tzinfo=zone)
            hour = ends.astimezone(UTC) - HOUR
            pulled = datetime(2016, 2, 1, tzinfo=UTC)
            value = float(line["pm25"])
            rows.append(
                {
                    "station_id": line["station"],
                    "hour": hour,
                    "value_native": value,
                    "pulled_at": pulled,
                }
            )
    return hourly_readings(fold_versions(versions(*rows)), "openaq")


class TestSmog:
    def test_delhi_in_january(self, real_data: Path) -> None:
        folder = real_data.parent / "cases"
        if not folder.is_dir():
            pytest.skip("without the cases")
        found = delhi(folder)
        assert set(found["flag"]) == {"valid"}
        eighth = date(2016, 1, 8)
        zones = dict.fromkeys(found["station_id"].cast(pl.String).unique(), "Asia/Kolkata")
        for day in daily_averages(found, zones, (eighth, eighth)).to_dicts():
            assert day["mean"] == pytest.approx(392.4, abs=0.05)
            assert day["valid"] is True

    def test_an_episode_is_valid_at_any_height_below_the_instruments_limit(self) -> None:
        found = flagged([50, 120, 380, 720, 950, 880, 610, 300, 140, 80, 60, 55], "pm25")
        assert set(found["flag"]) == {"valid"}

    def test_an_hour_out_of_nothing_is_not(self) -> None:
        found = flagged([20, 22, 25, 640, 24, 21, 20, 23, 22])
        assert reasons(found) == ["gross_range", "spike"]


class TestMinusOne:
    def test_all_day_it_is_a_code(self) -> None:
        assert mean_of(flagged([-1.0] * 24)) == (None, 0)

    @pytest.mark.parametrize("first", [0, 7, 14])
    def test_ten_hours_among_thirties(self, first: int) -> None:
        values = [-1.0 if first <= n < first + 10 else 30.0 for n in range(24)]
        # Thirty all the time would be stuck: a little movement.
        values = [v if v < 0 else v + (-1) ** n * 0.25 for n, v in enumerate(values)]
        mean, valid = mean_of(flagged(values))
        assert valid == 14
        assert mean == pytest.approx(30, abs=0.1)

    def test_scattered_among_thirties(self) -> None:
        values = [-1.0 if n % 5 in (1, 3) else 30.0 + 0.1 * n for n in range(24)]
        assert reasons(flagged(values)) == ["negative", "negative_code"]

    def test_a_noisy_one_among_small_values_is_valid(self) -> None:
        values = [2.0, 1.0, 0.0, -1.0, 1.0, 3.0, 2.0, -1.0, 4.0, 6.0, 5.0, 3.0] * 2
        mean, valid = mean_of(flagged(values))
        assert mean == pytest.approx(sum(values) / 24)
        assert valid == 24

    def test_frost_is_no_code(self) -> None:
        values = [12.0, 11.0, -1.0, 10.0, 12.0, 13.0]
        assert set(flagged(values, "temperature", "°C")["flag"]) == {"valid"}


class TestStuck:
    @pytest.mark.parametrize("value", [37.0, 12.5, 150.0, 8.37])
    def test_away_from_zero(self, value: float) -> None:
        assert mean_of(flagged([value] * 24)) == (None, 0)

    @pytest.mark.parametrize("at", [range(8, 14), range(2, 24, 4)])
    def test_the_full_scale_of_a_monitor(self, at: range) -> None:
        normal = [40.0 + n % 7 for n in range(24)]
        values = [985.0 if n in at else value for n, value in enumerate(normal)]
        found = flagged(values, "pm10")
        assert found["flag"].to_list() == ["suspect" if n in at else "valid" for n in range(24)]
        assert mean_of(found)[1] == 18

    @pytest.mark.parametrize(
        "values",
        [
            [2, 2, 2, 2, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 2, 2],
            [5, 5, 5, 5, 6, 6, 6, 5, 5, 5, 4, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7, 6, 6, 5],
        ],
    )
    def test_whole_numbers_repeat_at_a_clean_station(self, values: list[float]) -> None:
        assert set(flagged(values)["flag"]) == {"valid"}

    def test_the_same_repeats_of_decimals_do_not(self) -> None:
        values = [20.0 + 0.37 * n for n in range(24)]
        values[6:13] = [22.4] * 7
        found = flagged(values)
        assert found["flag"].to_list() == ["valid"] * 6 + ["suspect"] * 7 + ["valid"] * 11


class TestMislabelledUnits:
    def test_co_in_milligrams_called_micrograms(self) -> None:
        found = flagged(CO_DAY, "co")
        assert reasons(found) == ["implausibly_small"]
        assert mean_of(found) == (None, 0)
        assert found["value_native"].to_list() == CO_DAY

    def test_no2_in_ppm_called_micrograms(self) -> None:
        assert reasons(flagged([0.02 + 0.0005 * n for n in range(24)], "no2")) == [
            "implausibly_small"
        ]

    def test_a_small_hour_of_a_normal_day_is_valid(self) -> None:
        assert set(flagged([0.05, 0.3, 2.0, 4.1, 3.3, 0.08, 1.0], "no2")["flag"]) == {"valid"}


def test_a_days_flags_do_not_depend_on_readings_further_off() -> None:
    """What lies within a day on either side decides, however much more is read."""
    values = [7.31] * 30 + [20.0 + n % 9 for n in range(30)] + [400.0] + [21.0] * 3 + [7.31] * 40
    everything = flagged(values)
    for day in range(1, 4):
        start = MIDNIGHT + day * DAY
        near = pl.col("hour").is_between(start - DAY, start + 2 * DAY, closed="left")
        own = pl.col("hour").is_between(start, start + DAY, closed="left")
        columns = ["hour", "run_rows", "before", "after"]
        alone = with_runs(everything.filter(near)).filter(own).select(columns)
        assert with_runs(everything).filter(own).select(columns).equals(alone)


def test_what_the_provider_doubts_does_not_count() -> None:
    values = [210.0 if n in (3, 9, 15, 21) else 12.0 + 0.01 * n for n in range(24)]
    marked = pl.concat(
        [
            flagged([value if value < 100 else None for value in values]),
            flagged([value if value > 100 else None for value in values], provider_flag=True),
        ]
    ).sort("hour")
    mean, valid = mean_of(marked)
    assert mean == pytest.approx(12.1, abs=0.1)
    assert valid == 20
    assert "provider_flag" in reasons(marked)


def test_minutes_count_in_runs() -> None:
    """Hours of zones of half hours follow one another as others do."""
    found = flagged([5.0, 5.0, 9.0]).with_columns(hour=pl.col("hour") + timedelta(minutes=30))
    assert with_runs(found)["run_rows"].to_list() == [2, 2, 1]


class TestRateOfChange:
    AFTERNOON = (21.0, 22.5, 24.0, 25.0, 24.5, 23.0)

    def test_a_jump_there_and_back_is_one_odd_hour(self) -> None:
        found = flagged([*self.AFTERNOON, 52.0, *self.AFTERNOON], "temperature", "°C")
        assert found["reasons"].to_list() == [*[[]] * 6, ["rate_of_change"], *[[]] * 6]

    def test_a_step_is_seen_where_it_happens(self) -> None:
        found = flagged([1013.0, 1012.0, 950.0, 951.0], "pressure", "hPa")
        assert found["flag"].to_list() == ["valid", "valid", "suspect", "valid"]

    def test_across_a_gap_nothing_is_judged(self) -> None:
        found = flagged([2.0, None, 30.0], "temperature", "°C")
        assert set(found["flag"]) == {"valid"}

    def test_smoke_knows_no_bound(self) -> None:
        assert set(flagged([12.0, 15.0, 430.0, 460.0, 300.0])["flag"]) == {"valid"}


class TestAttenuatedSignal:
    NOISE = tuple(37.0 + 0.01 * (n * 7 % 5) for n in range(24))

    def test_the_last_digit_alone_moves(self) -> None:
        found = flagged(self.NOISE)
        assert set(found["flag"]) == {"suspect"}
        assert reasons(found) == ["attenuated_signal"]

    @pytest.mark.parametrize(
        "values",
        [NOISE[:12], [*NOISE[:20], 38.0, 41.0, 39.0, 37.5], [n * 0.2 + 37 for n in range(24)]],
        ids=["half a day", "it moves after all", "it drifts"],
    )
    def test_what_is_no_such_day(self, values: Sequence[float]) -> None:
        assert "attenuated_signal" not in reasons(flagged(values))
