"""OpenAQ all the way through: from the locations to the daily averages, twice the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from itertools import count, product
from pathlib import Path

import dagster as dg
import httpx
import polars as pl
import pytest

from aq_platform.definitions import build_defs
from aq_platform.runs import Runner, RunResult
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawPullStore
from aq_sandbox.networks.openaq import KEY
from aq_sandbox.server import RunningSandbox
from aq_science.windows import Window
from tests.contract.conftest import NOW
from tests.servers.s3 import S3Server

STATIONS = ("2178", "8118")
FIRST, LAST = date(2025, 6, 9), date(2025, 6, 10)


class Chain:
    """OpenAQ's chain on a store of its own."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self.services = services
        self.runner = Runner(services, build_defs(services), instance)

    def backfill(self, first: date = FIRST, last: date = LAST) -> list[RunResult]:
        return list(self.runner.backfill(self.services.networks["openaq"], first, last))

    def rows(self, table: str) -> pl.DataFrame:
        return self.services.warehouse.read(f"SELECT * FROM openaq.{table} ORDER BY ALL")


MakeChain = Callable[..., Chain]


@pytest.fixture
def make_chain(
    clean_environment: None,
    sandbox: RunningSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeChain]:
    """Makes platforms from nothing; keyword arguments are settings (`AQ_…`)."""
    networks = tmp_path / "networks.yaml"
    entry = {"start_date": "2025-05-01", "stations": STATIONS}
    networks.write_text(json.dumps({"networks": {"openaq": entry}}))
    homes = count()
    with ExitStack() as stack:

        def make(**settings: str) -> Chain:
            default = {
                "AQ_HOME": str(tmp_path / f"home{next(homes)}"),
                "AQ_NETWORKS": str(networks),
                "AQ_HTTP_ATTEMPTS": "1",
                "AQ_OPENAQ_ARCHIVE": "none",
            }
            for name, value in {**sandbox.environment, **default, **settings}.items():
                monkeypatch.setenv(name, value)
            services = stack.enter_context(closing(Services.from_environment(lambda: NOW)))
            return Chain(services, stack.enter_context(dg.DagsterInstance.ephemeral()))

        yield make


@pytest.fixture
def chain(make_chain: MakeChain) -> Chain:
    return make_chain()


def test_a_second_backfill_changes_no_row(chain: Chain) -> None:
    for outcome in chain.backfill():
        assert outcome.success, outcome.failures
        assert outcome.warnings == []
    readings, averages = chain.rows("hourly_readings"), chain.rows("daily_averages")
    inside = readings.filter(pl.col("hour").dt.date().is_between(FIRST, LAST))
    assert set(inside["station_id"]) == set(STATIONS)
    assert inside["hour"].min() == datetime(2025, 6, 9, tzinfo=UTC)
    # Of Delhi, whose hours begin at :30.
    assert inside["hour"].max() == datetime(2025, 6, 10, 23, 30, tzinfo=UTC)
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


def test_the_key_is_in_nothing_that_is_kept(chain: Chain) -> None:
    outcomes = chain.backfill(LAST, LAST)
    pulls = RawPullStore(chain.services.object_store, "openaq")
    kept = list(pulls.read(f"date={LAST}"))
    assert kept
    assert all(KEY not in repr(answer) for answer in kept)
    assert all(KEY not in repr(outcome) for outcome in outcomes)
    for path in chain.services.settings.home.rglob("*"):
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


def test_weeks_from_a_bucket_and_the_last_days_from_the_interface_are_whole(
    chain: Chain, make_chain: MakeChain, sandbox: RunningSandbox, s3: S3Server, s3_bucket: str
) -> None:
    """On a real S3 server: the platform's own store in one bucket, the archive in another."""
    first, last = date(2025, 5, 28), date(2025, 6, 17)
    for outcome in chain.backfill(first, last):
        assert outcome.success, outcome.failures
    by_interface = chain.rows("hourly_readings")

    public = s3.create_bucket(f"{s3_bucket}-archive", public=True)
    with closing(s3.client()) as client:
        for station, day in product(STATIONS, range(26)):
            key = archive_key(station, date(2025, 5, 26) + timedelta(days=day))
            file = httpx.get(f"{sandbox.environment['AQ_OPENAQ_ARCHIVE']}/{key}", trust_env=False)
            if file.status_code == httpx.codes.OK:
                client.put_object(Bucket=public, Key=key, Body=file.content)
    sandbox.reset()
    joined = make_chain(
        AQ_OBJECT_STORE=f"s3://{s3_bucket}/store",
        AQ_OPENAQ_ARCHIVE=f"{s3.endpoint_url}/{public}",
    )
    for outcome in joined.backfill(first, last):
        assert outcome.success, outcome.failures
        assert outcome.warnings == []
    asked = [request for request in sandbox.requests() if request.path.endswith("/hours")]
    # The interface is asked for what the files do not have yet, from each station's midnight on,
    # and for the day after the last, with which the local days end.
    assert {httpx.QueryParams(request.query)["datetime_from"] for request in asked} == {
        "2025-06-14T06:00:00Z",
        "2025-06-14T18:30:00Z",
        "2025-06-18T00:00:00Z",
    }
    readings = joined.rows("hourly_readings")
    keys = ["station_id", "parameter", "hour"]
    assert readings.select(keys).is_unique().all()
    content = [*keys, "value", "unit", "value_native", "unit_native", "sensor_id", "flag"]
    assert readings.select(content).equals(by_interface.select(content))
    averages = joined.rows("daily_averages")
    assert averages.equals(chain.rows("daily_averages"))

    pulls = RawPullStore(joined.services.object_store, "openaq")
    folders = pulls.folders(Window.of_days(first, last))
    stored = [pulls.keys(folder) for folder in folders]
    assert folders
    for outcome in joined.backfill(first, last):
        assert outcome.success, outcome.failures
    assert joined.rows("hourly_readings").equals(readings)
    assert joined.rows("daily_averages").equals(averages)
    assert [pulls.keys(folder) for folder in folders] == stored


def archive_key(station: str, day: date) -> str:
    return (
        f"records/csv.gz/locationid={station}/year={day:%Y}/month={day:%m}/"
        f"location-{station}-{day:%Y%m%d}.csv.gz"
    )


def test_countries_and_parameters_are_tables(chain: Chain) -> None:
    definitions = build_defs(chain.services)
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
