"""The station dimension of every network: position, time zone, first and last seen, attribution."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest
import yaml

from aq_assets.checks import build_checks
from aq_assets.describe import SERVICES, TABLES
from aq_assets.stations import build_stations
from aq_resources.failures import TransientFailure
from aq_resources.io_managers import DuckDBIOManager
from aq_resources.network_client import Station, StationList
from aq_resources.networks import known_networks, network_attribution, network_is_pushed
from aq_resources.networks.airqino.stations import described as describe_airqino
from aq_resources.networks.airqo.members import describe as describe_airqo
from aq_resources.networks.irceline.bodies import position_of
from aq_resources.networks.openaq.bodies import Location
from aq_resources.networks.openaq.locations import describe as describe_openaq
from aq_resources.project import PROJECT_ROOT
from aq_resources.services import Services
from aq_sandbox.networks.airqo import COHORT
from aq_sandbox.server import RunningSandbox
from aq_science.stations import station_rows
from aq_science.tables.stations import STATIONS
from tests.contract.conftest import NOW, recorded_answer

ENTRIES: dict[str, dict[str, Any]] = {
    "airqino": {"stations": ["283164601", "283181971"]},
    "airqo": {"stations": [f"cohort:{COHORT}"]},
    "irceline": {"area": {"latitude": 50.6, "longitude": 4.6, "radius_km": 200}},
    "openaq": {"stations": ["2178", "8118"]},
}
ZONES = {
    "airqino": {"Africa/Abidjan"},
    "airqo": {"Africa/Kampala"},
    "irceline": {"Europe/Brussels"},
    "openaq": {"America/Denver", "Asia/Kolkata"},
}


@dataclass
class Bench:
    """Stations of one network, as its client describes them from the sandbox and then changed."""

    services: Services
    network: str
    instance: dg.DagsterInstance
    now: datetime = NOW
    change: Callable[[StationList], StationList] = field(default=lambda found: found)

    def describe(self) -> dg.ExecuteInProcessResult:
        config = self.services.networks[self.network]
        client = self.services.client(self.network)
        found = type(client).stations(client)
        client.stations = lambda: self.change(found)  # type: ignore[method-assign]
        self.services.now = lambda: self.now
        checks = [c for c in build_checks(config) if "plausible_positions" in c.node_def.name]
        return dg.materialize(
            [build_stations(config), *checks],
            resources={SERVICES: self.services, TABLES: DuckDBIOManager(self.services.warehouse)},
            instance=self.instance,
        )

    def rows(self) -> pl.DataFrame:
        return self.services.warehouse.rows(self.network, STATIONS)


@pytest.fixture(params=sorted(ENTRIES))
def bench(
    request: pytest.FixtureRequest, configure: Callable[..., None], sandbox: RunningSandbox
) -> Iterator[Bench]:
    network = request.param
    configure(sandbox, **{network: {"start_date": "2025-06-01", **ENTRIES[network]}})
    with (
        closing(Services.from_environment(lambda: NOW)) as services,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Bench(services, network, instance)


def every(found: StationList, **changed: Any) -> StationList:
    return StationList(tuple(replace(one, **changed) for one in found.stations), found.failures)


def test_every_network_is_here() -> None:
    asked = {network for network in known_networks() if not network_is_pushed(network)}
    assert set(ENTRIES) == asked


def test_stations_are_placed_dated_and_attributed(bench: Bench) -> None:
    result = bench.describe()
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["station_problems"].value == 0
    rows = bench.rows()
    assert len(rows) >= 2
    assert rows.select(pl.col("latitude", "longitude").is_not_null().all()).row(0) == (True, True)
    assert set(rows["coordinates_source"]) == {"upstream"}
    assert set(rows["timezone"]) == ZONES[bench.network]
    assert set(rows["first_seen"]) == set(rows["last_seen"]) == {NOW}
    assert rows["attribution"].str.contains(network_attribution(bench.network), literal=True).all()


def test_without_a_time_zone_from_the_network_the_position_tells_it(bench: Bench) -> None:
    bench.change = lambda found: every(found, timezone=None)
    result = bench.describe()
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert set(bench.rows()["timezone"]) == ZONES[bench.network]


# Why it is not in the list is told by the list, whichever network's it is: one shows it.
@pytest.mark.parametrize(
    ("bench", "failure"),
    [*((network, False) for network in sorted(ENTRIES)), ("airqino", True)],
    indirect=["bench"],
)
def test_a_station_that_vanishes_keeps_its_row_and_comes_back(bench: Bench, failure: bool) -> None:
    bench.describe()
    before = bench.rows()
    gone = before["station_id"][0]

    def without(found: StationList) -> StationList:
        failures = {**found.failures, gone: TransientFailure("silent")} if failure else {}
        kept = tuple(one for one in found.stations if one.station_id != gone)
        return StationList(kept, failures)

    later = NOW + timedelta(days=3)
    bench.change, bench.now = without, later
    bench.describe()
    rows = bench.rows()
    assert rows.drop("last_seen").equals(before.drop("last_seen"))
    seen = dict(rows.select("station_id", "last_seen").iter_rows())
    assert seen.pop(gone) == NOW
    assert set(seen.values()) == {later}

    bench.change, bench.now = lambda found: found, NOW + timedelta(days=5)
    bench.describe()
    assert bench.rows().drop("last_seen").equals(before.drop("last_seen"))
    assert set(bench.rows()["last_seen"]) == {NOW + timedelta(days=5)}


# A position of zeros is elsewhere for all networks but AirQino.
@pytest.mark.parametrize(
    ("bench", "problem"),
    [
        *((network, "swapped") for network in sorted(ENTRIES)),
        ("airqino", "zero"),
        ("openaq", "zero"),
    ],
    indirect=["bench"],
)
def test_a_wrong_position_is_told_and_mended_by_the_line_shown(
    bench: Bench, problem: str, tmp_path: Path
) -> None:
    def wrong(found: StationList) -> StationList:
        first, *others = found.stations
        at = (first.longitude, first.latitude) if problem == "swapped" else (0.0, 0.0)
        moved = replace(first, country=first.country or "CI", latitude=at[0], longitude=at[1])
        return StationList((moved, *others), found.failures)

    bench.change = wrong
    result = bench.describe()
    (check,) = result.get_asset_check_evaluations()
    assert result.success
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    table = check.metadata["to_fix"]
    assert isinstance(table, dg.TableMetadataValue)
    (record,) = table.records
    assert record.data["problem"] == problem
    station = record.data["station_id"]
    (event,) = result.get_asset_materialization_events()
    told = event.materialization.metadata
    assert told["problem_kinds"].value == {problem: 1}
    assert told["without_position"].value == 1
    row = bench.rows().row(by_predicate=pl.col("station_id") == station, named=True)
    assert (row["latitude"], row["longitude"], row["coordinates_source"]) == (None,) * 3
    assert row["timezone"] in ZONES[bench.network]

    # As a person does it: paste the line into networks.yaml, with the numbers filled in.
    line = str(record.data["override"])
    for number in ("5.3357", "-3.9782"):
        line = line.replace("…", number, 1)
    path = tmp_path / "networks.yaml"
    text = json.loads(path.read_text())
    text["networks"][bench.network]["overrides"] = yaml.safe_load(line)
    path.write_text(json.dumps(text))
    with closing(Services.from_environment(lambda: NOW)) as services:
        mended = Bench(services, bench.network, bench.instance, change=wrong)
        result = mended.describe()
        row = mended.rows().row(by_predicate=pl.col("station_id") == station, named=True)
    assert row["coordinates_source"] == "override"
    assert None not in (row["latitude"], row["longitude"])
    (check,) = result.get_asset_check_evaluations()
    # Abidjan is wrong for a station elsewhere: believed, and told.
    elsewhere = problem == "zero" and bench.network != "airqino"
    assert check.passed is not elsewhere


# Real bodies


def placed(network: str, stations: list[Station]) -> tuple[pl.DataFrame, pl.DataFrame]:
    described = [
        {**asdict(one), "station_id": f"{n} {one.station_id}", "seen": True}
        for n, one in enumerate(stations)
    ]
    return station_rows(network, described, {}, STATIONS.schema.to_frame(), NOW)


def body(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


def test_no_real_airqo_station_is_wrong(real_data: Path) -> None:
    answer = body(real_data / "airqo" / "measurements_v2_2024-08-12.json")
    sites = [row["siteDetails"] for row in answer["measurements"] if row.get("siteDetails")]
    stations = [describe_airqo("d", {"site_id": "s"}, {"s": site}) for site in sites]
    assert len(stations) == 180
    rows, problems = placed("airqo", stations)
    assert problems.is_empty()
    assert rows["latitude"].null_count() == rows["country"].null_count() == 0
    assert rows["country"].n_unique() == 14
    assert "Africa/Kampala" in set(rows["timezone"])


def test_no_real_irceline_station_is_wrong(real_data: Path) -> None:
    listed = body(real_data / "irceline" / "all_stations_response_example.json")
    positions = [position_of(entry) for entry in listed]
    stations = [
        Station(str(n), latitude=latitude, longitude=longitude, country="BE")
        for n, (latitude, longitude) in enumerate(positions)
    ]
    assert len(stations) == 68
    rows, problems = placed("irceline", stations)
    assert problems.is_empty()
    assert set(rows["timezone"]) == {"Europe/Brussels"}
    swapped = [replace(s, latitude=s.longitude, longitude=s.latitude) for s in stations]
    assert placed("irceline", swapped)[1]["problem"].to_list() == ["swapped"] * 68


def test_no_real_openaq_station_is_wrong_and_all_have_the_zone_it_says(real_data: Path) -> None:
    folder = real_data / "openaq"
    paths = [
        folder / "mock_locations_vn.json",
        folder / "sdk_fixtures" / "py_locations.json",
        folder / "sdk_fixtures" / "py_locations_variation.json",
        *sorted(folder.glob("documented_bodies/*quick-start*.json")),
    ]
    found = [msgspec.convert(entry, Location) for path in paths for entry in body(path)["results"]]
    stations = [describe_openaq(one) for one in found]
    assert len(stations) >= 55
    rows, problems = placed("openaq", stations)
    assert problems.is_empty()
    without = [replace(one, timezone=None) for one in stations]
    again, problems = placed("openaq", without)
    assert problems.is_empty()
    assert again["timezone"].to_list() == rows["timezone"].to_list()


def test_airqinos_wrong_coordinates_are_told_and_those_of_the_project_are_right(
    real_data: Path,
) -> None:
    networks = yaml.safe_load((PROJECT_ROOT / "networks.yaml").read_text("utf-8"))
    overrides = networks["networks"]["airqino"]["overrides"]
    answers = {
        path.name.split("_")[0]: recorded_answer(path.read_text("utf-8"))
        for path in real_data.glob("airqino/*_fetched_2024-09.json")
    }
    stations = [describe_airqino(name, answer) for name, answer in answers.items()]
    assert len(stations) == 2
    for country in ("CI", None):
        rows, problems = placed("airqino", [replace(one, country=country) for one in stations])
        assert rows["latitude"].null_count() == 2
        assert problems["problem"].to_list() == ["far_from_country"] * 2
    described = [{**asdict(one), "seen": True} for one in stations]
    rows, problems = station_rows("airqino", described, overrides, STATIONS.schema.to_frame(), NOW)
    assert problems.is_empty()
    assert set(rows["coordinates_source"]) == {"override"}
    assert set(rows["timezone"]) == {"Africa/Abidjan"}
