"""docs/adding-a-network.md, followed: a package, a sandbox module and an entry make a network.

CityAir (`tests/contract/fifth`) does not exist. Its files are put where the document says, into a
copy of the project, and nothing else is changed there.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources import networks
from aq_resources.network_client import NetworkClient
from aq_resources.network_settings import NetworkConfig
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from tests.conftest import ROOT
from tests.contract.fifth.sandbox import KEY, STATIONS
from tests.factories import utc
from tests.system.integration.harness import Installation
from tests.system.integration.leaks import leaks
from tests.system.platform.conftest import days_ago
from tests.system.platform.test_sandbox_command import running

FIFTH = Path(__file__).parent


def imported() -> Any:
    """The package, from here, under the name that it has in the project."""
    networks.__path__.append(str(FIFTH))
    try:
        return importlib.import_module("aq_resources.networks.cityair")
    finally:
        networks.__path__.remove(str(FIFTH))


create = imported().create
DAY = (utc(2025, 6, 10), utc(2025, 6, 11))
DAYS = ("--start", days_ago(3), "--end", days_ago(2))
LIST_DEFINITIONS = """
import json
from aq_platform.definitions import build_defs
repository = build_defs().get_repository_def()
print(json.dumps({
    "assets": sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
    "jobs": sorted(repository.job_names),
    "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
}))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the package and the sandbox module in it."""
    root = tmp_path_factory.mktemp("project")
    without = shutil.ignore_patterns("__pycache__")
    for package in ROOT.glob("aq_*/"):
        shutil.copytree(package, root / package.name, ignore=without)
    for name in ("dagster.yaml", "networks.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(
        FIFTH / "cityair", root / "aq_resources" / "networks" / "cityair", ignore=without
    )
    shutil.copy(FIFTH / "sandbox.py", root / "aq_sandbox" / "networks" / "cityair.py")
    return root


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of that project, on its own sandbox, with an entry for the network."""
    entry = {"start_date": days_ago(30)}
    installation = (
        Installation(tmp_path_factory.mktemp("installed"))
        .with_settings(PYTHONPATH=str(project), AQ_HTTP_ATTEMPTS="1")
        .with_networks(
            cityair={**entry, "stations": list(STATIONS)},
            airqino={**entry, "stations": ["283164601"]},
        )
    )
    with running(installation) as exports:
        yield installation.with_settings(**exports)


@pytest.mark.system
def test_nothing_else_names_its_assets_jobs_and_sensors(installed: Installation) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_DEFINITIONS],
        cwd=installed.folder,
        env=installed.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)

    def of(network: str, names: list[str]) -> list[str]:
        return [name.replace(network, "…") for name in names if network in name]

    for kind, names in found.items():
        assert of("cityair", names), kind
        assert of("cityair", names) == of("airqino", names), kind


@pytest.mark.system
def test_its_chain_runs_and_a_second_backfill_changes_no_row(installed: Installation) -> None:
    tables = ("stations", "hourly_readings", "daily_averages")

    def rows() -> dict[str, pl.DataFrame]:
        with installed.reader() as lake:
            found = {name: lake.sql(f"FROM cityair.{name} ORDER BY ALL").pl() for name in tables}
        return {name: frame.drop("last_seen", strict=False) for name, frame in found.items()}

    installed.succeed("backfill", "cityair", *DAYS)
    before = rows()
    assert set(before["stations"]["station_id"]) == set(STATIONS)
    assert set(before["stations"]["timezone"]) == {"Europe/Vienna"}
    assert set(before["hourly_readings"]["parameter"]) == {"pm25", "co"}
    assert {str(day) for day in before["daily_averages"]["date"]} >= {DAYS[1], DAYS[3]}
    installed.succeed("backfill", "cityair", *DAYS)
    for name, frame in rows().items():
        assert frame.equals(before[name]), name

    installed.succeed("refresh")
    with installed.reader() as lake:
        forecasts = lake.sql("SELECT DISTINCT network, mode FROM air_quality.forecasts ORDER BY 1")
        assert forecasts.fetchall() == [(network, "live") for network in ("airqino", "cityair")]
    examined = installed.succeed("doctor").stdout
    assert "✓ cityair: clock" in examined
    assert "✓ cityair: stations: 2 described" in examined
    assert leaks(installed.home, {"key": KEY}) == []


@pytest.mark.system
def test_its_bad_day_is_its_own(installed: Installation) -> None:
    control = installed.settings["AQ_CITYAIR_URL"].replace("/cityair", "/_sandbox/faults")
    fault = {"kind": "status", "status": 401, "path_contains": "/cityair/"}
    httpx.post(control, json=fault, trust_env=False).raise_for_status()
    try:
        done = installed.run("refresh")
        examined = installed.run("doctor")
    finally:
        httpx.delete(control, trust_env=False).raise_for_status()
    assert (done.returncode, examined.returncode) == (1, 1)
    assert "✗ cityair" in done.stdout
    assert "✓ airqino: forecast" in done.stdout
    assert "Check AQ_CITYAIR_KEY." in done.stderr
    assert "✗ cityair: stations" in examined.stdout
    assert "✓ airqino: stations" in examined.stdout


# --------------------------------------------------------------------------- the parser


@pytest.fixture
def client(clean_environment: None) -> Iterator[NetworkClient]:
    config = NetworkConfig(name="cityair", start_date=DAY[0].date(), stations=tuple(STATIONS))
    opened = create(config, Settings(), lambda: DAY[1])
    yield opened
    opened.close()


def answer(body: object, status: int = 200) -> RawAnswer:
    text = body if isinstance(body, str) else json.dumps(body)
    return RawAnswer("https://cityair.invalid/hours/north", {}, DAY, DAY[1], status, text)


def record(hour_end: str, **values: Any) -> dict[str, Any]:
    return {"hour_end": hour_end, **values}


def test_a_stamp_at_the_hours_end_is_that_hours_beginning(client: NetworkClient) -> None:
    body = [
        record("2025-06-10T00:00:00Z", pm25=1.0),  # the day before
        record("2025-06-10T01:00:00Z", pm25=2.0, co=0.4),
        record("2025-06-11T00:00:00Z", pm25=3.0, co=None),
    ]
    parsed = client.parse([answer(body)])
    rows = (
        parsed.versions.sort("hour", "parameter")
        .select("parameter", "hour", "value_native", "unit_native")
        .rows()
    )
    midnight = datetime(2025, 6, 10, tzinfo=UTC)
    assert rows == [
        ("pm25", midnight, 2.0, "µg/m³"),
        ("co", midnight, 0.4, "mg/m³"),
        ("pm25", midnight + timedelta(hours=23), 3.0, "µg/m³"),
    ]
    assert parsed.problems.total == 0


def test_a_bad_record_is_counted_and_its_neighbours_are_read(client: NetworkClient) -> None:
    body = [record("soon"), 7, record("2025-06-10T05:00:00Z", pm25="many")]
    good = record("2025-06-10T06:00:00Z", pm25=5.0)
    parsed = client.parse([answer([*body, good])])
    assert parsed.versions["value_native"].to_list() == [5.0]
    assert parsed.problems.counts == {("north", "record_form"): 3}
    assert parsed.unreadable == ()
    assert client.parse([answer(body)]).unreadable == ("north",)


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ("<p>down</p>", 200, "not_json"),
        ('{"error": "no"}', 401, "status_401"),
        ("", 200, "not_json"),
    ],
)
def test_an_error_body_is_counted(
    client: NetworkClient, body: str, status: int, problem: str
) -> None:
    parsed = client.parse([answer(body, status)])
    assert parsed.versions.is_empty()
    assert parsed.problems.counts == {("north", problem): 1}


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["hour_end", "pm25"]), inner),
)


SETTINGS = Settings()


@given(body=JSON)
def test_any_json_is_read_or_counted(body: Any) -> None:
    config = NetworkConfig(name="cityair", start_date=DAY[0].date(), stations=("north",))
    parsed = create(config, SETTINGS, lambda: DAY[1]).parse([answer(body)])
    assert isinstance(parsed.versions, pl.DataFrame)
    if body not in ([], {}) and parsed.versions.is_empty():
        assert parsed.problems.total > 0
