"""AirQo all the way through: twice the same, revised once, and no secret anywhere."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import zstandard

from aq_platform.definitions import build_defs
from aq_platform.runs import Runner, RunResult
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawPullStore
from aq_resources.warehouse.reading import check_select, confine
from aq_sandbox.networks import airqo as sandbox_airqo
from aq_sandbox.networks.airqo import COHORT, device_name
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.tables.types import INSTANT
from tests.conftest import ROOT

NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
# Four days by the download, the rest by the measurements.
FIRST, LAST = date(2025, 6, 8), date(2025, 6, 14)
TOKEN = "MARKED+token/7"


class Chain:
    """AirQo's chain on a store and an instance of its own."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self.services = services
        self.runner = Runner(services, build_defs(services), instance)
        self.pulls = RawPullStore(services.object_store, "airqo")

    def backfill(self) -> list[RunResult]:
        """The days, and the day before them: Kampala's first local day begins in it."""
        return list(self.runner.backfill(self.services.networks["airqo"], FIRST, LAST))

    def table(self, name: str) -> pl.DataFrame:
        return self.services.warehouse.read(f"SELECT * FROM airqo.{name} ORDER BY ALL")


@pytest.fixture
def airqo(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    monkeypatch.setattr(sandbox_airqo, "TOKEN", TOKEN)
    with running_sandbox(SandboxConfig(stations=4, now=NOW)) as sandbox:
        yield sandbox


@pytest.fixture
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """In memory, a fraction of the work; in files where a test looks into them."""
    if getattr(request, "param", "memory") == "memory":
        with dg.DagsterInstance.ephemeral() as opened:
            yield opened
        return
    (tmp_path / "instance").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as opened:
        yield opened


@pytest.fixture
def chain(
    clean_environment: None,
    instance: dg.DagsterInstance,
    airqo: RunningSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Chain]:
    networks = tmp_path / "networks.yaml"
    entry = {
        "start_date": "2025-06-01",
        "stations": [f"cohort:{COHORT}"],
        "overrides": {device_name(0): {"name": "Known better"}},
    }
    networks.write_text(json.dumps({"networks": {"airqo": entry}}))
    settings = {
        **airqo.environment,
        "AQ_HOME": str(tmp_path / "home"),
        "AQ_NETWORKS": str(networks),
        "AQ_HTTP_ATTEMPTS": "1",
        "AQ_AIRQO_CLIENT_SECRET": "MARKED-secret",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with closing(Services.from_environment(now=lambda: NOW)) as services:
        yield Chain(services, instance)


def test_a_second_run_changes_no_row(chain: Chain) -> None:
    for outcome in chain.backfill():
        assert outcome.success, outcome.failures
        assert outcome.warnings == []
    tables = {name: chain.table(name) for name in ("stations", "hourly_readings", "daily_averages")}
    answers = [answer for name in folders(chain) for answer in chain.pulls.read(name)]

    names = dict(tables["stations"].select("station_id", "name").iter_rows())
    assert list(names) == sorted(device_name(number) for number in range(4))
    assert names[device_name(0)] == "Known better"
    assert set(tables["stations"]["timezone"]) == {"Africa/Kampala"}
    assert set(tables["stations"]["country"]) == {"UG"}
    assert set(tables["stations"]["city"]) == {"Kampala"}
    readings = tables["hourly_readings"]
    pm25 = readings.filter(pl.col("parameter") == "pm25")
    expected = {
        (row["device_name"], row["datetime"])
        for row in sandbox_airqo._records(
            tuple(device_name(n) for n in range(4)),
            datetime(2025, 6, 7, tzinfo=UTC),
            datetime(2025, 6, 14, 23, 59, tzinfo=UTC),
            1,
            NOW,
        )
    }
    assert {
        (str(station), f"{hour:%Y-%m-%d %H:%M:%SZ}")
        for station, hour in pm25.select("station_id", "hour").iter_rows()
    } == expected
    assert len(pm25) == len(expected)
    assert set(readings["revision"]) == {0}

    outcomes = chain.backfill()
    assert [outcome.failures for outcome in outcomes if not outcome.success] == []
    for name, before in tables.items():
        assert chain.table(name).equals(before), name
    again = [answer for name in folders(chain) for answer in chain.pulls.read(name)]
    assert again == answers
    pulled = [o.metadata["raw_pulls"] for o in outcomes if "raw_pulls" in o.metadata]
    assert sum(one["answers_repeated"] for one in pulled) == len(answers)
    assert sum(one["answers_stored"] for one in pulled) == 0


def test_raw_channels_are_found_where_the_dictionary_says_and_are_no_reading(
    chain: Chain,
) -> None:
    for outcome in chain.backfill():
        assert outcome.success, outcome.failures
    document = (ROOT / "docs" / "data-dictionary.md").read_text("utf-8")
    queries = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    [sql] = [one for one in queries if "s1_pm2_5" in one]
    with closing(chain.services.warehouse.connect_read_only()) as reader:
        confine(reader, [chain.services.object_store.uri("")])
        check_select(reader, sql)
        found = reader.sql(sql).pl().cast({"datetime": INSTANT})
    devices = tuple(device_name(number) for number in range(4))
    # The days of the download: the day before the first, and those before the week.
    sent = sandbox_airqo._records(
        devices, datetime(2025, 6, 7, tzinfo=UTC), datetime(2025, 6, 11, 23, tzinfo=UTC), 1, NOW
    )
    assert {
        (row["device_name"], f"{row['datetime']:%Y-%m-%d %H:%M:%SZ}", row["s1_pm2_5"])
        for row in found.to_dicts()
    } == {(row["device_name"], row["datetime"], row["s1_pm2_5"]) for row in sent}
    readings = chain.table("hourly_readings").filter(parameter="pm25").cast({"hour": INSTANT})
    both = found.unique(["device_name", "datetime"]).join(
        readings, left_on=["device_name", "datetime"], right_on=["station_id", "hour"]
    )
    assert len(both) == len(found.unique(["device_name", "datetime"])) > 300
    assert both["value_native"].equals(both["pm2_5"], null_equal=False)
    assert (both["value_native"] != both["s1_pm2_5"]).sum() > 0.9 * len(both)


def folders(chain: Chain) -> list[str]:
    return sorted(chain.services.object_store.folders(chain.pulls.root))


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, unpacked."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield str(path), data
        if path.suffix == ".zst":
            yield str(path), zstandard.ZstdDecompressor().decompressobj().decompress(data)
        if path.suffix == ".parquet":
            yield str(path), repr(pl.read_parquet(io.BytesIO(data)).to_dicts()).encode()


@pytest.mark.parametrize("instance", ["files"], indirect=True)
@pytest.mark.parametrize("fault", [None, "html", "disconnect", "refusal"])
def test_no_secret_is_left_anywhere(
    chain: Chain,
    airqo: RunningSandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    fault: str | None,
) -> None:
    if fault == "refusal":
        said = {"success": False, "message": f"{TOKEN} MARKED-secret", "error": "Unauthorized"}
        airqo.inject("body", body=json.dumps(said))
    elif fault:
        airqo.inject(fault)
    with caplog.at_level(logging.DEBUG):
        outcomes = chain.backfill()
    assert outcomes[0].success == (fault is None)
    # The server did get it.
    assert any("token=MARKED" in request.query for request in airqo.requests())
    files = dict(everything(tmp_path))
    assert any(path.endswith(".db") for path in files)
    if fault != "disconnect":
        assert any(path.endswith(".zst") for path in files)
    assert [path for path, data in files.items() if b"MARKED" in data] == []
    shown = capfd.readouterr()
    for text in (caplog.text, shown.out, shown.err, repr(outcomes)):
        assert "MARKED" not in text
