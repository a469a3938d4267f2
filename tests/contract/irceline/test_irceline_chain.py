"""IRCELINE all the way through: pulled twice, ill for a day, and averaged by Belgian days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from statistics import fmean

import dagster as dg
import polars as pl
import pytest

from aq_platform.definitions import build_defs
from aq_platform.runs import Runner, RunResult
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_sandbox.server import RunningSandbox
from aq_science.tables.types import INSTANT
from aq_science.windows import DAY as ONE_DAY
from aq_science.windows import HOUR
from tests.contract.conftest import NOW
from tests.contract.irceline.irceline_bench import BELGIUM, DATA

DAY = date(2025, 6, 10)
STATIONS = {"1030", "1148", "1234", "9001", "9002"}


class Chain:
    """IRCELINE's chain on a store of its own."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self.services = services
        self.runner = Runner(services, build_defs(services), instance)
        self.pulls = RawPullStore(services.object_store, "irceline")

    @property
    def config(self) -> NetworkConfig:
        return self.services.networks["irceline"]

    def backfill(self, first: date = DAY, last: date = DAY) -> list[RunResult]:
        outcomes = list(self.runner.backfill(self.config, first, last))
        assert [failure for one in outcomes for failure in one.failures] == []
        return outcomes

    def answers(self, day: date = DAY) -> list[RawAnswer]:
        return list(self.pulls.read(f"date={day}"))

    def table(self, name: str) -> pl.DataFrame:
        return self.services.warehouse.read(f"SELECT * FROM irceline.{name} ORDER BY ALL")


@pytest.fixture
def chain(
    configure: Callable[..., None],
    sandbox: RunningSandbox,
) -> Iterator[Chain]:
    configure(sandbox, irceline={"start_date": "2024-10-01", "area": BELGIUM})
    with ExitStack() as stack:
        services = stack.enter_context(closing(Services.from_environment(now=lambda: NOW)))
        instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        yield Chain(services, instance)


def data_requests(sandbox: RunningSandbox) -> int:
    return sum(request.path == DATA for request in sandbox.requests())


def test_a_second_backfill_changes_no_row(chain: Chain, sandbox: RunningSandbox) -> None:
    first, last = DAY - 2 * ONE_DAY, DAY
    outcomes = chain.backfill(first, last)
    assert not any(one.incomplete for one in outcomes)
    # Three days in one question, and the day before it, into which the first Belgian day reaches.
    assert data_requests(sandbox) == 2
    tables = {name: chain.table(name) for name in ("hourly_readings", "daily_averages", "stations")}
    assert set(tables["hourly_readings"]["station_id"]) == STATIONS
    assert set(tables["stations"]["timezone"]) == {"Europe/Brussels"}
    assert set(tables["stations"]["country"]) == {"BE"}
    again = chain.backfill(first, last)
    assert again[0].metadata["raw_pulls"]["answers_repeated"] == 1
    for name, table in tables.items():
        assert chain.table(name).equals(table), name


def test_a_second_refresh_changes_no_row(chain: Chain, sandbox: RunningSandbox) -> None:
    chain.backfill(NOW.date() - 20 * ONE_DAY, NOW.date())
    asked = data_requests(sandbox)
    outcomes = list(chain.runner.refresh(chain.config))
    assert [failure for one in outcomes for failure in one.failures] == []
    assert data_requests(sandbox) == asked + 1
    readings = chain.table("hourly_readings")
    newest = readings["hour"].max()
    assert newest == NOW.replace(minute=0) - HOUR
    forecasts = chain.table("forecasts")
    assert set(forecasts["parameter"]) == {"pm25", "co"}
    list(chain.runner.refresh(chain.config))
    assert chain.table("hourly_readings").equals(readings)
    assert (
        chain.table("forecasts")
        .drop("issued_at", strict=False)
        .equals(forecasts.drop("issued_at", strict=False))
    )


def test_one_gone_series_is_named_and_the_others_loaded(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    sandbox.set_answer("10052", "")
    outcome = chain.backfill()[0]
    assert outcome.incomplete
    assert any(
        "10052" in warning and "could not be found" in warning for warning in outcome.warnings
    )
    whole = chain.table("hourly_readings")
    assert set(whole["station_id"]) == STATIONS
    ozone = whole.filter(pl.col("parameter") == "o3")
    assert set(ozone["station_id"]) == {"1030", "1148"}
    sandbox.set_answer("10052", None)
    outcome = chain.backfill()[0]
    assert not outcome.incomplete
    assert "9001" in set(
        chain.table("hourly_readings").filter(pl.col("parameter") == "o3")["station_id"]
    )


def test_a_malformed_series_is_counted_and_the_others_loaded(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    sandbox.set_answer("10052", '{"values": [{"time": 5}]}')
    outcome = chain.backfill()[0]
    assert outcome.metadata["hourly_readings"]["malformed_records"] == 1
    assert outcome.metadata["hourly_readings"]["unreadable_stations"] == []
    assert set(chain.table("hourly_readings")["station_id"]) == STATIONS


def test_a_sick_network_fails_with_its_reason_and_touches_nothing(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    chain.backfill()
    answers, readings = chain.answers(), chain.table("hourly_readings")
    sandbox.inject("status", status=503, path_contains="getData")
    [outcome] = chain.runner.backfill(chain.config, DAY, DAY)
    assert not outcome.success
    assert any("IRCELINE answered 503 to POST" in failure for failure in outcome.failures)
    assert chain.answers() == answers
    assert chain.table("hourly_readings").equals(readings)
    sandbox.clear()
    chain.backfill()
    assert chain.table("hourly_readings").equals(readings)


def test_a_changed_form_of_every_answer_stops_the_chain(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    sandbox.inject("body", body='{"data": {"10000": []}}', path_contains="getData")
    [outcome] = chain.runner.backfill(chain.config, DAY, DAY)
    assert not outcome.success
    [failure] = outcome.failures
    assert "Not one record of IRCELINE could be read" in failure
    assert len(chain.answers()) == 1


@pytest.mark.parametrize(
    ("day", "hours", "first"),
    [
        (date(2025, 3, 30), 23, datetime(2025, 3, 29, 23, tzinfo=UTC)),
        (date(2024, 10, 27), 25, datetime(2024, 10, 26, 22, tzinfo=UTC)),
        (date(2025, 6, 10), 24, datetime(2025, 6, 9, 22, tzinfo=UTC)),
    ],
)
def test_a_day_is_the_belgian_one(chain: Chain, day: date, hours: int, first: datetime) -> None:
    chain.backfill(day - ONE_DAY, day)
    daily = chain.table("daily_averages").filter(pl.col("date") == day)
    assert set(daily["hours_expected"]) == {hours}
    assert set(daily["timezone"]) == {"Europe/Brussels"}
    hourly = chain.table("hourly_readings")
    readings = hourly.cast({"hour": INSTANT}).filter(
        pl.col("hour").is_between(first, first + timedelta(hours=hours), closed="left"),
        flag="valid",
        parameter="no2",
    )
    no2 = {row["station_id"]: row for row in daily.filter(parameter="no2").to_dicts()}
    # Some station may be out for a week-end; none has a day of its own.
    assert len(no2) >= 4
    for station, row in no2.items():
        values = readings.filter(station_id=station)["value"].to_list()
        assert row["hours_valid"] == len(values) > 0
        assert row["mean"] == pytest.approx(fmean(values))
    assert max(row["hours_valid"] for row in no2.values()) > hours - 3
