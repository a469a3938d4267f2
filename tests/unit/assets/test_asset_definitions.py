"""What exists: every asset of a chain described, owned, partitioned, checked; and the jobs."""

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from aq_assets.describe import OWNER
from aq_assets.jobs import NIGHTLY, REVISABLE, SCORES
from aq_assets.lineage import MADE_FROM
from aq_assets.metadata import table_metadata
from aq_assets.partitions import daily_partitions, hourly_partitions
from aq_platform.definitions import build_defs
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_attribution
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.warehouse.ddl import sql_type
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.tables.forecast_report import FORECAST_REPORT
from aq_science.tables.forecast_scores import FORECAST_SCORES, FORECAST_SCORES_BY_MODEL
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.registry import OF_DEVICES
from aq_science.tables.stations import STATIONS
from tests.factories import MIDNIGHT, hourly

CONFIG = NetworkConfig(name="airqino", start_date=date(2024, 3, 1), stations=("283164601",))
CHAIN = {"stations", "raw_pulls", "hourly_readings", "daily_averages"}
TABULAR = {
    "stations": STATIONS,
    "hourly_readings": HOURLY_READINGS,
    "daily_averages": DAILY_AVERAGES,
    "forecasts": FORECASTS,
    "forecast_scores": FORECAST_SCORES,
    "forecast_scores_by_model": FORECAST_SCORES_BY_MODEL,
    "forecast_report": FORECAST_REPORT,
    "data_quality": DATA_QUALITY,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "aq"


@pytest.fixture(scope="module")
def repository(home: Path) -> dg.RepositoryDefinition:
    """What the code location loads, for one network, without anything of the environment."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AQ_HOME", str(home))
        definitions = build_defs(Services(Settings(), {"airqino": CONFIG}))
    dg.Definitions.validate_loadable(definitions)
    return definitions.get_repository_def()


@pytest.fixture(scope="module")
def nodes(repository: dg.RepositoryDefinition) -> dict[str, dg.AssetSpec]:
    """Every asset by its name within the network."""
    specs = [spec for a in repository.assets_defs_by_key.values() for spec in a.specs]
    shared = ("upkeep", "air_quality")
    return {spec.key.path[-1]: spec for spec in specs if spec.group_name not in shared}


# Those of devices: tests/contract/devices.
@pytest.mark.parametrize("asset", sorted(MADE_FROM.keys() - {table.name for table in OF_DEVICES}))
def test_columns_are_made_from_columns_of_what_the_asset_reads(
    repository: dg.RepositoryDefinition, nodes: dict[str, dg.AssetSpec], asset: str
) -> None:
    lineage = nodes[asset].metadata["dagster/column_lineage"].deps_by_column

    def columns(name: str) -> set[str]:
        schema = nodes[name].metadata["dagster/column_schema"]
        return {column.name for column in schema.columns}

    assert lineage.keys() <= columns(asset)
    parents = repository.asset_graph.get(dg.AssetKey(["airqino", asset])).parent_keys
    for sources in lineage.values():
        for source in sources:
            assert source.asset_key in parents
            assert source.column_name in columns(source.asset_key.path[-1])


def test_every_asset_says_whom_to_name(nodes: dict[str, dg.AssetSpec]) -> None:
    assert nodes.keys() >= CHAIN
    for spec in nodes.values():
        assert spec.metadata["attribution"] == network_attribution("airqino")


def test_loading_opens_and_makes_nothing(repository: dg.RepositoryDefinition, home: Path) -> None:
    assert not home.exists()


def test_the_chain_is_there(nodes: dict[str, dg.AssetSpec]) -> None:
    assert {*CHAIN, "forecast_models", "forecasts", "forecast_scores"} <= nodes.keys()


def test_every_asset_is_described(nodes: dict[str, dg.AssetSpec]) -> None:
    for name, spec in nodes.items():
        assert spec.key.path == ["airqino", name]
        assert spec.group_name == "airqino", name
        assert list(spec.owners) == [OWNER], name
        assert spec.kinds, name
        assert spec.description, name
        assert "AirQino" in spec.description, name
        assert spec.tags["network"] == "airqino", name


FILES = ("raw_pulls", "hourly_readings", "network_models", "forecast_models")


@pytest.mark.parametrize("url", ["", "s3://bucket/prefix"], ids=["folder", "s3"])
def test_the_kind_s3_is_for_what_s3_keeps(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AQ_OBJECT_STORE", url)
    assets = build_defs(Services(Settings(), {"airqino": CONFIG})).resolve_all_asset_specs()
    kept = {spec.key.to_user_string() for spec in assets if "s3" in spec.kinds}
    files = {f"airqino/{name}" for name in FILES}
    published = {f"{group}/publication" for group in ("airqino", "air_quality", "upkeep")}
    assert kept == ({*files, *published, "upkeep/raw_pulls"} if url else set())


@pytest.mark.parametrize("name", TABULAR)
def test_tabular_assets_show_the_declared_columns(
    nodes: dict[str, dg.AssetSpec], name: str
) -> None:
    table = TABULAR[name]
    shown = nodes[name].metadata["dagster/column_schema"]
    assert [(c.name, c.type, c.description) for c in shown.columns] == [
        (column.name, sql_type(column.dtype).lower(), column.described) for column in table.columns
    ]
    assert all(column.description for column in shown.columns)


@pytest.mark.parametrize(
    ("name", "cron"),
    [
        ("raw_pulls", "0 0 * * *"),
        ("hourly_readings", "0 0 * * *"),
        ("daily_averages", "0 0 * * *"),
        ("forecast_models", "0 0 * * *"),
        ("forecasts", "0 * * * *"),
        ("forecast_scores", "0 0 * * *"),
        ("forecast_scores_by_model", "0 0 * * *"),
        ("data_quality", "0 0 * * *"),
    ],
)
def test_partitions_are_utc_from_the_start_date_and_a_range_is_one_run(
    repository: dg.RepositoryDefinition, name: str, cron: str
) -> None:
    asset = repository.assets_defs_by_key[dg.AssetKey(["airqino", name])]
    partitions = asset.partitions_def
    assert isinstance(partitions, dg.TimeWindowPartitionsDefinition)
    assert (partitions.cron_schedule, partitions.timezone) == (cron, "UTC")
    first = partitions.get_first_partition_key()
    assert first is not None
    assert partitions.time_window_for_partition_key(first).start == MIDNIGHT
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()


def test_stations_have_no_partitions(repository: dg.RepositoryDefinition) -> None:
    stations = repository.assets_defs_by_key[dg.AssetKey(["airqino", "stations"])]
    assert stations.partitions_def is None


@pytest.mark.parametrize(
    ("partitions", "key"),
    [(daily_partitions(CONFIG), "%Y-%m-%d"), (hourly_partitions(CONFIG), "%Y-%m-%d-%H:00")],
    ids=["day", "hour"],
)
def test_partition_in_progress_exists_already(
    partitions: dg.TimeWindowPartitionsDefinition, key: str
) -> None:
    before = datetime.now(UTC)
    last = partitions.get_last_partition_key()
    after = datetime.now(UTC)  # the hour may have turned meanwhile
    assert last in {before.strftime(key), after.strftime(key)}


def test_daily_averages_follow_the_readings_of_the_days_around(
    repository: dg.RepositoryDefinition,
) -> None:
    """A local day reaches into the UTC days before and after."""
    graph = repository.asset_graph
    day, readings = (
        dg.AssetKey(["airqino", name]) for name in ("daily_averages", "hourly_readings")
    )
    assert readings in graph.get(day).parent_keys
    mapping = graph.get_partition_mapping(day, readings)
    assert isinstance(mapping, dg.TimeWindowPartitionMapping)
    assert (mapping.start_offset, mapping.end_offset) == (-1, 1)


@pytest.mark.parametrize("name", ["forecast_scores", "forecast_scores_by_model"])
def test_scores_of_a_day_follow_its_issue_times_and_the_readings_around(
    repository: dg.RepositoryDefinition, name: str
) -> None:
    """Persistence reaches into the day before, the last forecast into the day after."""
    graph = repository.asset_graph
    scores, forecasts, readings = (
        dg.AssetKey(["airqino", one]) for one in (name, "forecasts", "hourly_readings")
    )
    assert graph.get(scores).parent_keys == {forecasts, readings}
    for upstream, offsets in ((readings, (-1, 1)), (forecasts, (0, 0))):
        mapping = graph.get_partition_mapping(scores, upstream)
        assert isinstance(mapping, dg.TimeWindowPartitionMapping)
        assert (mapping.start_offset, mapping.end_offset) == offsets


@pytest.mark.parametrize(
    ("job", "names"),
    [
        ("airqino_refresh", CHAIN),
        ("airqino_pull", {"stations", "raw_pulls", "hourly_readings"}),
        ("airqino_daily", {"daily_averages"}),
        ("airqino_models", {"network_models", "forecast_models"}),
        ("airqino_forecast", {"forecasts", "publication"}),
        ("airqino_publish", {"publication"}),
        ("airqino_readings", {"raw_pulls", "hourly_readings"}),
        ("airqino_scores", set(SCORES)),
        ("airqino_nightly", {"stations", *SCORES, *NIGHTLY}),
        ("airqino_revisions", set(REVISABLE)),
    ],
)
def test_jobs(repository: dg.RepositoryDefinition, job: str, names: set[str]) -> None:
    definition = repository.get_job(job)
    assert {key.path[-1] for key in definition.asset_layer.executable_asset_keys} == names
    assert definition.description


def test_checks_on_hourly_readings_block_and_the_others_tell(
    repository: dg.RepositoryDefinition,
) -> None:
    graph = repository.asset_graph
    blocking: dict[str, set[tuple[str, bool]]] = {}
    for key in graph.asset_check_keys:
        spec = graph.get_check_spec(key)
        assert spec.description
        blocking.setdefault(key.asset_key.path[-1], set()).add((spec.name, spec.blocking))
    names = {"declared_schema", "unique_hours", "plausible_ranges", "canonical_unit"}
    told_only = {("newest_hour_is_recent", False), ("every_answer_read", False)}
    assert blocking["hourly_readings"] == told_only | {(name, True) for name in names}
    for asset, checks in blocking.items():
        assert asset == "hourly_readings" or not any(blocks for _, blocks in checks)
    told = {"raw_pulls", "daily_averages", "forecasts", "forecast_scores"}
    assert told <= blocking.keys()


def test_table_in_the_ui_shows_the_first_rows_with_their_types() -> None:
    frame = hourly([1.23456789, 2.0, 3.0]).select("station_id", "hour", "value", "revision")
    shown = table_metadata(frame, limit=2)
    assert len(shown.records) == 2
    assert shown.records[0].data["station_id"] == "s1"
    assert shown.records[0].data["value"] == 1.235
    types = {column.name: column.type for column in shown.schema.columns}
    assert types == {"station_id": "string", "hour": "string", "value": "float", "revision": "int"}
