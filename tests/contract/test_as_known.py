"""`aq query --as-known-at` and the revisions, against what the assets made of the same answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from aq_assets.chain import build_chain
from aq_assets.describe import FILES, SERVICES, TABLES
from aq_platform.arguments import Moment, parse_moment
from aq_platform.as_known import TablesThen
from aq_platform.cli import app
from aq_platform.evidence import explain
from aq_platform.query import TablesNow, run_query
from aq_resources.failures import PermanentFailure
from aq_resources.io_managers import DuckDBIOManager
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_science.tables.stations import STATIONS
from aq_science.windows import HOUR, Window, midnight
from tests.contract.test_withdrawals import BODIES, LISTED, Hours
from tests.factories import station_frame

pytestmark = pytest.mark.server

FIRST_DAY, LAST_DAY = date(2026, 1, 10), date(2026, 1, 11)
DAYS = Window.of_days(FIRST_DAY, LAST_DAY)
EARLY = DAYS.end + 2 * HOUR
LATE = EARLY + timedelta(days=30)
NOW = LATE + HOUR
CHANGED, WITHDRAWN = DAYS.start + 5 * HOUR, DAYS.start + 30 * HOUR
TABLES_MADE = ("hourly_readings", "daily_averages")


class Platform:
    """One network, whose answers are put into its store and whose assets are made of them."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self.services, self.instance = services, instance
        [self.config] = services.networks.values()
        self.network = self.config.name
        self.pulls = RawPullStore(services.object_store, self.network)
        self.said: list[str] = []

    def pull(self, at: datetime, **changed: Any) -> None:
        """An answer a day: 12 to 16 µg/m³, but for what was changed by then."""
        values: Hours = {DAYS.start + n * HOUR: 12.0 + n % 5 for n in range(48)}
        if changed:
            values |= {CHANGED: 40.0, WITHDRAWN: None}
        for day in DAYS.dates:
            window = Window.of_days(day, day)
            hours = {hour: v for hour, v in values.items() if window.start <= hour < window.end}
            path, body, params = BODIES[self.network](hours)
            covers = (window.start, window.end)
            answers = [RawAnswer(f"https://n.example{path}", params, covers, at, 200, body)]
            if self.network == "openaq":
                answers.insert(0, msgspec.structs.replace(LISTED, window=covers, pulled_at=at))
            self.pulls.append(answers)

    def make(self, *names: str) -> None:
        chain = build_chain(self.config)
        selection = dg.AssetSelection.assets(*(dg.AssetKey([self.network, n]) for n in names))
        wanted = selection - dg.AssetSelection.all_asset_checks()
        result = dg.materialize(
            list(chain.assets or ()),  # type: ignore[arg-type]
            selection=wanted,
            resources={
                SERVICES: self.services,
                FILES: dg.IOManagerDefinition.hardcoded_io_manager(self.services.files),
                TABLES: dg.IOManagerDefinition.hardcoded_io_manager(
                    DuckDBIOManager(self.services.warehouse)
                ),
            },
            instance=self.instance,
            tags={
                "dagster/asset_partition_range_start": str(FIRST_DAY),
                "dagster/asset_partition_range_end": str(LAST_DAY),
            },
        )
        assert result.success

    def query(self, sql: str, moment: Moment | None = None) -> list[dict[str, Any]]:
        printed = io.StringIO()
        now = TablesNow(self.services.warehouse.location, self.services.object_store.uri(""))
        tables = now if moment is None else TablesThen(self.services, moment, self.said.append)
        run_query(tables, sql, "json", Console(), printed)
        return json.loads(printed.getvalue())

    def tables(self, at: datetime | None = None, schema: str = "air_quality") -> list[Any]:
        moment = None if at is None else Moment(at)
        return [self.query(f"FROM {schema}.{t} ORDER BY ALL", moment) for t in TABLES_MADE]


Open = Callable[[str], Platform]


@pytest.fixture
def open_platform(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """With a station half an hour off UTC's hours, whose days begin in the day before."""
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    opened: list[Services] = []
    with dg.DagsterInstance.ephemeral() as instance:

        def open_one(network: str) -> Platform:
            config = NetworkConfig(name=network, start_date=date(2026, 1, 1), stations=("1",))
            services = Services(Settings(), {network: config}, lambda: NOW)
            opened.append(services)
            rows = station_frame("1", network=network, timezone="Asia/Kolkata")
            services.warehouse.replace(network, STATIONS, rows)
            return Platform(services, instance)

        yield open_one
        for services in opened:
            services.close()


# The second one parses by what other answers say, and selects among sensors.
@pytest.mark.parametrize("network", ["airqino", "openaq"])
def test_what_was_known_is_what_the_assets_had_made_then(open_platform: Open, network: str) -> None:
    platform = open_platform(network)
    platform.pull(EARLY)
    platform.make(*TABLES_MADE)
    then = platform.tables()
    platform.pull(LATE, changed=True)
    platform.make(*TABLES_MADE, "revisions")
    now = platform.tables()
    assert then != now
    assert [row["hours_valid"] for row in then[1]] == [19, 24]
    assert platform.tables(EARLY) == platform.tables(LATE - HOUR) == then
    assert platform.tables(LATE) == now
    assert platform.tables(EARLY - HOUR) == [[], []]

    # What was changed in between is in the revisions, as often as the readings count.
    changes = platform.query("FROM air_quality.revisions ORDER BY hour")
    assert [(row["value_before"], row["value_after"], row["revision"]) for row in changes] == [
        (12.0, 40.0, 1),
        (12.0, None, 1),
    ]
    assert [row["changed_at"] for row in changes] == [LATE.isoformat()] * 2
    [counted] = platform.query("SELECT sum(revision)::INT AS n FROM air_quality.hourly_readings")
    assert counted["n"] == len(changes)


@pytest.fixture
def airqino(open_platform: Open) -> Platform:
    platform = open_platform("airqino")
    platform.pull(EARLY)
    platform.pull(LATE, changed=True)
    platform.make(*TABLES_MADE)
    return platform


def test_the_days_asked_for_are_made_and_no_others(airqino: Platform) -> None:
    moment = Moment(EARLY, LAST_DAY, LAST_DAY)
    hours, dates = (
        [row["d"] for row in airqino.query(f"SELECT DISTINCT {column} AS d FROM {table}", moment)]
        for column, table in (
            ("hour::DATE", "airqino.hourly_readings"),
            ("date", "airqino.daily_averages"),
        )
    )
    assert hours == dates == [LAST_DAY.isoformat()]
    # Its local day began at 18:30 of the day before.
    [row] = airqino.query("SELECT hours_valid FROM airqino.daily_averages", moment)
    assert row["hours_valid"] == 24
    assert (
        "airqino as known at 2026-01-12 02:00:00Z: days up to 2026-01-11 (1 of 1)" in airqino.said
    )


def test_joins_with_stations_and_refuses_what_is_not_as_known(airqino: Platform) -> None:
    sql = (
        "SELECT s.name, max(value) AS highest FROM air_quality.hourly_readings JOIN "
        "air_quality.stations s USING (network, station_id) GROUP BY ALL"
    )
    assert airqino.query(sql, Moment(EARLY)) == [{"name": "somewhere", "highest": 16.0}]
    assert airqino.query(sql, Moment(LATE)) == [{"name": "somewhere", "highest": 40.0}]
    for sql, says in (
        ("FROM airqino.gaps", "airqino.gaps can be read without it"),
        ("FROM lake.air_quality.Forecasts", "air_quality.forecasts can be read without it"),
        ("FROM elsewhere.hourly_readings", "The query failed"),
        (f"FROM '{airqino.services.settings.home}/x.parquet'", "reads the lake alone"),
        ("DROP TABLE airqino.stations", "read-only"),
    ):
        with pytest.raises(PermanentFailure, match=says):
            airqino.query(sql, Moment(EARLY))


def test_the_command_takes_the_time(
    airqino: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"start_date": "2026-01-01", "stations": ["1"]}
    networks = tmp_path / "networks.yaml"
    networks.write_text(json.dumps({"networks": {"airqino": entry}}))
    monkeypatch.setenv("AQ_NETWORKS", str(networks))
    sql = "SELECT max(value) AS highest FROM airqino.hourly_readings"
    command = ["query", sql, "--format", "csv", "--as-known-at", "2026-01-12T02:00Z"]
    result = CliRunner().invoke(app, [*command, "--end", "2026-01-10"])
    assert (result.exit_code, result.stdout) == (0, "highest\n16.0\n"), result.stderr
    assert "days up to 2026-01-10 (1 of 1)" in result.stderr
    result = CliRunner().invoke(app, ["query", sql, "--as-known-at", "yesterday"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--as-known-at 'yesterday' is no ISO 8601 time." in result.stderr


def test_what_explains_a_number_leads_to_its_raw_pull(airqino: Platform) -> None:
    moment = parse_moment("2026-01-12T02:00Z", None, None)
    assert moment == Moment(EARLY)
    for hour, value in ((CHANGED, 40.0), (CHANGED + HOUR, 13.0)):
        lines = list(explain(airqino.services, airqino.config, "1", "pm25", hour))
        [raw] = [line for line in lines if line.startswith("  raw pull: ")]
        uri, line, digest = raw.removeprefix("  raw pull: ").split(", ")
        [row] = airqino.query(
            "SELECT sha256, body, first_day, last_day FROM airqino.raw_pulls "
            f"WHERE uri = '{uri}' AND line = {line.removeprefix('line ')}"
        )
        assert row["sha256"] == digest.removeprefix("sha256 ")
        assert f'"{hour:%Y-%m-%d %H:%M:%S}","PM2.5":{value}' in row["body"]
        assert row["first_day"] == row["last_day"] == FIRST_DAY.isoformat()


def test_a_device_that_moved_has_the_days_of_where_it_was(open_platform: Open) -> None:
    platform = open_platform("airqo")
    for at, place in ((EARLY, (0.3, 32.6)), (LATE, (-12.0, -77.0))):
        records = [
            {
                "device": "1",
                "time": f"{hour:%Y-%m-%dT%H:%M:%S}.000Z",
                "frequency": "hourly",
                "site_id": "s1",
                "siteDetails": dict(
                    zip(("approximate_latitude", "approximate_longitude"), place, strict=True),
                    name="there",
                ),
                "pm2_5": {"value": 9.0, "calibratedValue": 12.0},
            }
            for hour in (midnight(FIRST_DAY) + n * HOUR for n in range(24))
        ]
        body = json.dumps({"success": True, "measurements": records})
        window = Window.of_days(FIRST_DAY, FIRST_DAY)
        url = "https://n.example/api/v2/devices/measurements/cohorts/c1"
        platform.pulls.append([RawAnswer(url, {}, (window.start, window.end), at, 200, body)])
    sql = f"SELECT timezone FROM airqo.daily_averages WHERE date = '{FIRST_DAY}'"
    assert platform.query(sql, Moment(EARLY)) == [{"timezone": "Africa/Kampala"}]
    assert platform.query(sql, Moment(LATE)) == [{"timezone": "America/Lima"}]
