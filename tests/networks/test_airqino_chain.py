"""Bad days of AirQino all the way through: what is kept, what goes on, what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from aq_platform.definitions import build_defs
from aq_platform.runs import Outcome, Runner
from aq_resources.platform import Platform
from aq_resources.raw_pulls import RawAnswer, RawPullStore
from aq_sandbox.server import RunningSandbox
from tests.networks.conftest import STATIONS

DAY = date(2025, 6, 10)
SICK, WELL = STATIONS[1], (STATIONS[0], *STATIONS[2:])


class Chain:
    """AirQino's chain on a store of its own."""

    def __init__(self, platform: Platform, instance: dg.DagsterInstance) -> None:
        self.platform = platform
        self.runner = Runner(platform, build_defs(platform), instance)
        self.pulls = RawPullStore(platform.object_store, "airqino")

    def backfill(self) -> Outcome:
        (outcome,) = self.runner.backfill(self.platform.networks["airqino"], DAY, DAY)
        return outcome

    def answers(self) -> list[RawAnswer]:
        return list(self.pulls.read(f"date={DAY}"))

    def readings(self) -> pl.DataFrame:
        return self.platform.warehouse.read("SELECT * FROM airqino.hourly_readings")

    def stations(self) -> set[str]:
        return set(self.readings()["station_id"])


@pytest.fixture
def chain(
    clean_environment: None,
    sandbox: RunningSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Chain]:
    networks = tmp_path / "networks.yaml"
    entry = {"start_date": "2025-06-01", "stations": STATIONS}
    networks.write_text(json.dumps({"networks": {"airqino": entry}}))
    settings = {
        **sandbox.environment,
        "AQ_HOME": str(tmp_path / "home"),
        "AQ_NETWORKS": str(networks),
        "AQ_HTTP_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with (
        closing(Platform.from_environment()) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Chain(platform, instance)


@pytest.mark.parametrize("fault", ["html", "truncate", "empty"])
def test_a_broken_answer_is_kept_and_mended_by_a_later_one(
    chain: Chain, sandbox: RunningSandbox, fault: str
) -> None:
    sandbox.inject(fault, path_contains=SICK)
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert outcome.incomplete
    assert any(SICK in warning and "broken answer" in warning for warning in outcome.warnings)
    broken = chain.answers()
    assert len(broken) == len(STATIONS)
    assert chain.stations() == set(WELL)
    assert outcome.metadata["hourly_readings"]["malformed_records"] == 1
    assert outcome.metadata["hourly_readings"]["unreadable_stations"] == [SICK]

    sandbox.clear()
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert not outcome.incomplete
    assert outcome.metadata["raw_pulls"]["answers_repeated"] == len(WELL)
    kept = chain.answers()
    assert kept[: len(broken)] == broken
    assert [answer.url.rsplit("/", 1)[-1] for answer in kept[len(broken) :]] == [SICK]
    assert chain.stations() == set(STATIONS)


@pytest.mark.parametrize("status", [404, 500])
def test_a_sick_station_is_reported_and_the_others_loaded(
    chain: Chain, sandbox: RunningSandbox, status: int
) -> None:
    sandbox.inject("status", status=status, path_contains=SICK)
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert outcome.incomplete
    assert any(SICK in warning and str(status) in warning for warning in outcome.warnings)
    assert chain.stations() == set(WELL)
    # What a retry may mend is no answer; a refusal is one.
    kept = [answer.status for answer in chain.answers()]
    assert sorted(kept) == [200] * len(WELL) + ([404] if status == 404 else [])
    listed = chain.platform.warehouse.read("SELECT station_id FROM airqino.stations")
    assert set(listed["station_id"]) == set(STATIONS)


def test_a_sick_network_fails_with_its_reason_and_touches_nothing(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    answers, readings = chain.answers(), chain.readings()
    sandbox.inject("status", status=500)
    outcome = chain.backfill()
    assert not outcome.success
    assert any("AirQino answered 500 to GET" in failure for failure in outcome.failures)
    assert chain.answers() == answers
    assert chain.readings().equals(readings)


def test_a_changed_form_at_every_station_stops_the_chain(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    for station in STATIONS:
        row = {"timestamp": "2025-06-10T11:00:00Z", "CO": 0.5}
        sandbox.set_answer(station, json.dumps({"header": {}, "data": [row]}))
    outcome = chain.backfill()
    assert not outcome.success
    (failure,) = outcome.failures
    assert "Not one record of AirQino could be read" in failure
    assert "timestamp_format" in failure
    assert "2025-06-10T11:00:00Z" in failure
    assert len(chain.answers()) == len(STATIONS)


def test_an_answer_without_readings_is_a_day_without_rows(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    for station in STATIONS:
        sandbox.set_answer(station, '{"header": {}, "data": []}')
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert chain.readings().is_empty()
    assert chain.platform.warehouse.read("SELECT * FROM airqino.daily_averages").is_empty()
