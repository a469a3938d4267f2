"""Forecasts are scored by whatever runs: a refresh, a backfill with hindcasts, and the night."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime

import dagster as dg
import polars as pl
import pytest

from aq_assets.jobs import SCORES
from aq_platform.definitions import build_defs
from aq_platform.runs import Runner, RunResult
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_sandbox.server import RunningSandbox
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.windows import DAY, HOUR
from tests.contract.conftest import NOW, STATIONS


@dataclass
class Platform:
    """AirQino's chain, whose clock is the sandbox's."""

    services: Services
    runner: Runner
    sandbox: RunningSandbox
    now: datetime = NOW

    @property
    def config(self) -> NetworkConfig:
        return self.services.networks["airqino"]

    def at(self, now: datetime) -> None:
        self.now = now
        self.sandbox.set_clock(now)

    def succeed(self, results: Iterator[RunResult]) -> list[RunResult]:
        found = list(results)
        assert [failure for one in found for failure in one.failures] == []
        return found

    def table(self, name: str) -> pl.DataFrame:
        return self.services.warehouse.read(f"SELECT * FROM airqino.{name} ORDER BY ALL")

    def counted(self) -> list[int]:
        """Forecasts counted by each of the tables."""
        return [int(self.table(name)["n"].sum() or 0) for name in SCORES]


@pytest.fixture
def platform(configure: Callable[..., None], sandbox: RunningSandbox) -> Iterator[Platform]:
    configure(sandbox, airqino={"start_date": "2025-06-14", "stations": STATIONS})
    made: list[Platform] = []
    with (
        closing(Services.from_environment(now=lambda: made[0].now)) as services,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        made.append(Platform(services, Runner(services, build_defs(services), instance), sandbox))
        made[0].at(NOW)
        yield made[0]


def test_a_refresh_scores_the_forecasts_whose_readings_have_come(platform: Platform) -> None:
    first = platform.succeed(platform.runner.refresh(platform.config))
    assert [one.job for one in first] == [
        f"airqino_{job}" for job in ("refresh", "models", "forecast", "scores")
    ]
    assert platform.counted() == [0, 0, 0]
    # The readings of both hours that were forecast.
    platform.at(NOW + 2 * HOUR)
    second = platform.succeed(platform.runner.refresh(platform.config))
    assert second[-1].job == "airqino_scores"
    (count, *others) = platform.counted()
    assert count > len(STATIONS)
    assert others == [count, count]
    scores = platform.table("forecast_scores")
    assert set(scores["date"]) == {NOW.date()}
    assert set(scores["mode"]) == {"live"}
    assert set(scores["horizon"]) == {1, 2}
    assert set(platform.table("forecast_report")["month"]) == {date(2025, 6, 1)}


def test_a_backfill_scores_its_hindcasts(platform: Platform) -> None:
    first, last = date(2025, 6, 15), date(2025, 6, 16)
    results = platform.succeed(
        platform.runner.backfill(platform.config, first, last, forecasts=True)
    )
    assert results[-1].job == "airqino_scores"
    (count, *others) = platform.counted()
    assert others == [count, count]
    assert count == results[-1].metadata["forecast_scores"]["scored"] > 0
    scores = platform.table("forecast_scores")
    assert set(scores["date"]) == {first, last}
    assert set(scores["mode"]) == {"hindcast"}
    assert scores["interval_score_80"].null_count() == 0
    # The night that follows finds nothing to change.
    end = (first + 2 * DAY).isoformat()
    before = {name: platform.table(name) for name in SCORES}
    night = platform.runner._run(platform.config, "nightly", first.isoformat(), end)
    assert night.success, night.failures
    assert set(SCORES) <= night.metadata.keys()
    for name, rows in before.items():
        assert platform.table(name).equals(rows)


def test_without_hindcasts_a_backfill_scores_nothing(platform: Platform) -> None:
    day = date(2025, 6, 15)
    results = platform.succeed(platform.runner.backfill(platform.config, day, day))
    assert "airqino_scores" not in {one.job for one in results}


def test_drift_is_a_warning_that_says_what_to_do(platform: Platform) -> None:
    """Skill that was there for four weeks and is gone; nothing fails."""
    today = NOW.date()
    rows = [
        {
            "network": "airqino",
            "station_id": STATIONS[0],
            "parameter": "pm25",
            "horizon": 1,
            "date": today - back * DAY,
            "mode": "live",
            "n": 24,
            "mae": 3.0,
            "rmse": 4.0,
            "bias": 1.0,
            "mae_persistence": 4.0,
            "skill": 0.25 if back > 7 else -0.5,
            "coverage_80": 0.8,
            "coverage_95": 0.95,
            "interval_score_80": 9.0,
            "interval_score_95": 15.0,
            "pinball": 1.0,
            "n_persistence": 24,
        }
        for back in range(2, 36)
    ]
    frame = pl.DataFrame(rows, schema=FORECAST_SCORES.schema, orient="row")
    window = (today - 40 * DAY, today)
    platform.services.warehouse.replace("airqino", FORECAST_SCORES, frame, window)
    result = platform.runner._days(platform.config, "scores", today, today)
    assert result.success
    (warning,) = result.warnings
    assert warning.startswith("airqino/forecast_scores: check no_drift failed. PM2.5, 1 h ahead: ")
    assert "fell from 0.25 in 28 days to -0.5 in the last 7" in warning
    assert "Compare stations and models in forecast_report." in warning
