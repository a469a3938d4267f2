"""OpenAQ all the way through: from the locations to the daily averages, twice the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from aq_platform.definitions import build_defs
from aq_platform.runs import Outcome, Runner
from aq_resources.platform import Platform
from aq_resources.raw_pulls import RawPullStore
from aq_sandbox.networks.openaq import KEY
from aq_sandbox.server import RunningSandbox
from tests.networks.conftest import NOW

STATIONS = ("2178", "8118")
FIRST, LAST = date(2025, 6, 9), date(2025, 6, 10)


class Chain:
    """OpenAQ's chain on a store of its own."""

    def __init__(self, platform: Platform, instance: dg.DagsterInstance) -> None:
        self.platform = platform
        self.runner = Runner(platform, build_defs(platform), instance)

    def backfill(self, first: date = FIRST, last: date = LAST) -> list[Outcome]:
        return list(self.runner.backfill(self.platform.networks["openaq"], first, last))

    def rows(self, table: str) -> pl.DataFrame:
        return self.platform.warehouse.read(f"SELECT * FROM openaq.{table} ORDER BY ALL")


@pytest.fixture
def chain(
    clean_environment: None,
    sandbox: RunningSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Chain]:
    networks = tmp_path / "networks.yaml"
    entry = {"start_date": "2025-06-01", "stations": STATIONS}
    networks.write_text(json.dumps({"networks": {"openaq": entry}}))
    settings = {
        **sandbox.environment,
        "AQ_HOME": str(tmp_path / "home"),
        "AQ_NETWORKS": str(networks),
        "AQ_HTTP_ATTEMPTS": "1",
        "AQ_OPENAQ_ARCHIVE": "none",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with (
        closing(Platform.from_environment(lambda: NOW)) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Chain(platform, instance)


def test_a_second_backfill_changes_no_row(chain: Chain) -> None:
    for outcome in chain.backfill():
        assert outcome.success, outcome.failures
        assert outcome.warnings == []
    readings, averages = chain.rows("hourly_readings"), chain.rows("daily_averages")
    inside = readings.filter(pl.col("hour").dt.date().is_between(FIRST, LAST))
    assert set(inside["station_id"]) == set(STATIONS)
    assert inside["hour"].min() == datetime(2025, 6, 9, tzinfo=UTC)
    assert inside["hour"].max() == datetime(2025, 6, 10, 23, tzinfo=UTC)
    assert set(averages["parameter"]) >= {"pm25", "co"}
    # The local day is the station's own.
    zones = dict(averages.select("station_id", "timezone").unique().iter_rows())
    assert zones == {"2178": "America/Denver", "8118": "Asia/Kolkata"}

    for outcome in chain.backfill():
        assert outcome.success, outcome.failures
    assert chain.rows("hourly_readings").equals(readings)
    assert chain.rows("daily_averages").equals(averages)
    assert readings["revision"].max() == 0


def test_stations_carry_their_attribution(chain: Chain) -> None:
    chain.backfill(LAST, LAST)
    stations = chain.rows("stations")
    assert stations["station_id"].to_list() == ["2178", "8118"]
    assert stations["attribution"].str.contains("via OpenAQ").all()


def test_the_key_is_in_nothing_that_is_kept(chain: Chain, tmp_path: Path) -> None:
    outcomes = chain.backfill(LAST, LAST)
    pulls = RawPullStore(chain.platform.object_store, "openaq")
    kept = list(pulls.read(f"date={LAST}"))
    assert kept
    assert all(KEY not in repr(answer) for answer in kept)
    assert all(KEY not in repr(outcome) for outcome in outcomes)
    for path in (tmp_path / "home").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_sick_sensor_is_reported_and_the_others_loaded(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    sandbox.inject("status", status=500, path_contains="/21782/")
    outcome = chain.backfill(LAST, LAST)[0]
    assert outcome.success, outcome.failures
    assert outcome.incomplete
    assert any("sensor 21782" in warning and "500" in warning for warning in outcome.warnings)
    readings = chain.rows("hourly_readings")
    found = set(readings.select("station_id", "parameter").unique().iter_rows())
    assert ("2178", "co") not in found
    assert ("8118", "co") in found
    assert ("2178", "pm25") in found


def test_a_changed_form_stops_the_chain_with_its_reason(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    for station in STATIONS:
        for number in range(6):
            sandbox.set_answer(f"{station}{number}", '{"results": [{"mean": 5}]}')
    [outcome] = chain.backfill(LAST, LAST)
    assert not outcome.success
    [failure] = outcome.failures
    assert "Not one record of OpenAQ could be read" in failure


def test_a_backfill_over_the_seam_is_whole_and_the_same_twice(
    chain: Chain, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_OPENAQ_ARCHIVE", sandbox.environment["AQ_OPENAQ_ARCHIVE"])
    first, last = date(2025, 6, 11), date(2025, 6, 17)
    for outcome in chain.backfill(first, last):
        assert outcome.success, outcome.failures
        assert outcome.warnings == []
    asked = [request.path for request in sandbox.requests()]
    assert any(path.endswith(".csv.gz") for path in asked)
    assert any(path.endswith("/hours") for path in asked)
    readings = chain.rows("hourly_readings")
    assert readings.select("station_id", "parameter", "hour").is_unique().all()
    days = readings.group_by("station_id", pl.col("hour").dt.date()).len()
    inside = days.filter(pl.col("hour").is_between(first, last))
    assert len(inside) == 7 * len(STATIONS)
    for outcome in chain.backfill(first, last):
        assert outcome.success, outcome.failures
    assert chain.rows("hourly_readings").equals(readings)


def test_countries_and_parameters_are_tables(chain: Chain) -> None:
    definitions = build_defs(chain.platform)
    keys = [dg.AssetKey(["openaq", name]) for name in ("countries", "parameters")]
    for _ in range(2):
        result = dg.materialize(
            [definitions.resolve_assets_def(key) for key in keys],
            instance=chain.runner.instance,
        )
        assert result.success
        countries, parameters = chain.rows("countries"), chain.rows("parameters")
        assert dict(countries.select("code", "name").iter_rows())["VN"] == "Vietnam"
        assert countries["first_reading"].unique().to_list() == [
            datetime(2016, 1, 30, 1, tzinfo=UTC)
        ]
        assert countries["country_id"].is_unique().all()
        known = parameters.select("parameter_id", "name", "unit", "parameter").rows()
        assert (98, "relativehumidity", "%", "humidity") in known
        assert (125, "um003", "particles/cm³", None) in known
        assert len(known) == 8
