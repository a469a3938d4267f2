"""What we need of Dagster beyond its public interface: a canary for each name, before an upgrade.

Dagster may move or change these in any release. A name that fails here has to be looked for in the
new release, and `aq_resources/dagster_storage` (or the module named) changed before anything else.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
import sqlalchemy as sa

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "aq_resources" / "dagster_storage"
EVENT_LOG = "dagster._core.storage.event_log"
SCHEMA = "dagster._core.storage.event_log.schema"


class Need(NamedTuple):
    """A private name, what of it is used, and what for."""

    module: str
    name: str
    attributes: tuple[str, ...]
    purpose: str


NEEDS = [
    Need(
        EVENT_LOG,
        "SqliteEventLogStorage",
        (
            # event_log
            "store_event",
            "store_event_batch",
            "_event_to_row",
            "run_connection",
            "index_transaction",
            "_store_asset_event",
            "_store_asset_event_tags",
            "from_config_value",
            "dispose",
            "_connect",
            "_initdb",
            "conn_string_for_shard",
            "get_latest_asset_partition_materialization_attempts_without_materializations",
            "_get_assets_details",
            "_add_assets_wipe_filter_to_query",
            # history
            "index_connection",
            "path_for_shard",
            "get_all_run_ids",
        ),
        "event_log stores batches as batches; history finds and deletes the database of a run",
    ),
    Need(
        EVENT_LOG,
        "SqlEventLogStorage",
        ("index_connection", "index_transaction"),
        "history knows by it the storages whose tables it may prune",
    ),
    Need(
        SCHEMA,
        "SqlEventLogStorageTable",
        ("id", "run_id", "asset_key", "dagster_event_type", "partition", "timestamp"),
        "history finds events that a newer one supersedes, event_log plans without outcome",
    ),
    Need(SCHEMA, "AssetEventTagsTable", ("event_id",), "history deletes an event's tags with it"),
    Need(
        SCHEMA,
        "AssetCheckExecutionsTable",
        (
            "id",
            "asset_key",
            "check_name",
            "partition",
            "execution_status",
            "evaluation_event_timestamp",
            "run_id",
        ),
        "history finds evaluations of checks that a newer one supersedes",
    ),
    Need(
        "dagster._core.storage.runs",
        "SqlRunStorage",
        ("get_run_ids", "delete_run", "has_run", "get_backfills", "connect"),
        "history deletes old runs and backfills, and run_health its counts",
    ),
    Need(
        "dagster._core.storage.runs.schema",
        "BulkActionsTable",
        ("key",),
        "history deletes old backfills",
    ),
    Need(
        "dagster._core.storage.runs.schema",
        "BackfillTagsTable",
        ("backfill_id",),
        "history deletes a backfill's tags with it",
    ),
    Need(
        "dagster._core.execution.backfill",
        "BulkActionsFilter",
        ("statuses", "created_before"),
        "history finds old backfills",
    ),
    Need(
        "dagster._core.execution.backfill",
        "BULK_ACTION_TERMINAL_STATUSES",
        (),
        "history leaves backfills alone that still go on",
    ),
    Need(
        "dagster._core.storage.dagster_run",
        "FINISHED_STATUSES",
        (),
        "history leaves runs alone that still go on",
    ),
    Need(
        "dagster._core.definitions.partitions.context",
        "partition_loading_context",
        (),
        "partition_keys knows up to when there are partitions",
    ),
    Need(
        "dagster._core.definitions.partitions.subset",
        "TimeWindowPartitionsSubset",
        ("with_partition_keys", "__or__"),
        "partition_keys puts many hours into a subset at once",
    ),
    Need(
        "dagster._serdes",
        "ConfigurableClassData",
        (),
        "event_log and run_health are opened from the instance file",
    ),
    Need("dagster._config", "UserConfigSchema", (), "run_health declares its settings"),
    Need(
        "dagster._core.launcher",
        "DefaultRunLauncher",
        (
            "config_type",
            "from_config_value",
            "supports_check_run_worker_health",
            "check_run_worker_health",
            # Set when the instance takes the launcher.
            "_instance",
        ),
        "run_health ends runs whose process is gone",
    ),
    Need(
        "dagster._core.launcher",
        "WorkerStatus",
        ("RUNNING", "NOT_FOUND"),
        "run_health says which runs still work",
    ),
    Need(
        "dagster._core.launcher",
        "CheckRunHealthResult",
        ("status", "msg"),
        "run_health says which runs still work",
    ),
    Need(
        "dagster._core.storage.runs.schema",
        "KeyValueStoreTable",
        ("key",),
        "run_health deletes the count of a run that has ended",
    ),
    Need(
        SCHEMA,
        "SqlEventLogStorageMetadata",
        ("create_all",),
        "event_log makes the tables of a run's database",
    ),
    Need(
        "dagster._core.storage.event_log.sqlite.sqlite_event_log",
        "INDEX_SHARD_NAME",
        (),
        "event_log keeps the index open",
    ),
    Need(
        "dagster._core.storage.sql",
        "get_alembic_config",
        (),
        "event_log marks a new database as one that needs no migration",
    ),
    Need(
        "dagster._cli.api",
        "grpc_command",
        (),
        "warm_runs serves code as Dagster's own command does",
    ),
    Need(
        "dagster._grpc.server",
        "DagsterApiServer",
        ("StartRun",),
        "warm_runs gives the code server another way to start runs",
    ),
    Need(
        "dagster._core.storage.sqlite",
        "SQLITE_BUSY_TIMEOUT_SECONDS",
        (),
        "event_log waits for a locked database as long as Dagster does",
    ),
    Need(
        "dagster._core.executor.in_process",
        "InProcessExecutor",
        ("execute",),
        "runs count while their steps are executed",
    ),
    Need(
        "dagster._core.definitions.executor_definition",
        "IN_PROC_CONFIG",
        (),
        "our executor takes the configuration of Dagster's",
    ),
    Need(
        "dagster._core.execution.retries",
        "RetryMode",
        ("from_config", "ENABLED"),
        "our executor retries as Dagster's does",
    ),
    Need(
        "dagster._core.execution.context.system",
        "PlanOrchestrationContext",
        ("instance", "dagster_run"),
        "our executor learns which run it executes",
    ),
    Need(
        "dagster._core.execution",
        "context_creation_job",
        ("default_system_loggers",),
        "run_logs has runs log JSON on the console",
    ),
    Need(
        "dagster._core.execution.plan.plan",
        "ExecutionPlan",
        (),
        "our executor has the signature of Dagster's",
    ),
]
# Not imported from a private module, and in no documentation of Dagster either.
UNDOCUMENTED = {
    (dg.OutputContext, "step_context"): "io_managers gives each partition metadata of its own",
    (dg.DagsterInstance, "event_log_storage"): "history, sensors and `aq prepare` address it",
    (dg.DagsterInstance, "run_storage"): "history deletes runs",
    (dg.DagsterInstance, "compute_log_manager"): "history deletes the logs of a run",
}
UNDOCUMENTED |= {
    (dg.TimeWindowPartitionsDefinition, name): "partition_keys works out keys by addition"
    for name in (
        "filter_valid_partition_keys",
        "is_basic_hourly",
        "is_basic_daily",
        "get_first_partition_window",
        "get_last_partition_window",
    )
}
OF_THE_EVENT_LOG = {
    "set_concurrency_slots": "aq_platform.instance sets how many pulls go on at once",
    "get_maximum_record_id": "the alerts' sensor begins with what happens from now on",
    "get_logs_for_all_runs_by_log_id": "the alerts' sensor reads on from its cursor",
    "get_latest_storage_id_by_partition": "late_data learns which days were ever materialized",
}


def gone(what: str, purpose: str) -> str:
    return (
        f"Dagster {dg.__version__} has no {what} any more. We need it so that {purpose}. Find what "
        "took its place and change our side, before this release is allowed in pyproject.toml."
    )


def private_imports() -> set[tuple[str, str]]:
    """Every name that the package imports from a private module of Dagster."""
    return {
        (node.module, alias.name)
        for path in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dagster._")
        for alias in node.names
    }


def test_every_private_name_is_listed_here() -> None:
    assert private_imports() == {(need.module, need.name) for need in NEEDS}


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.name)
def test_what_we_need_is_there(need: Need) -> None:
    try:
        found = getattr(import_module(need.module), need.name)
    except (ImportError, AttributeError):
        pytest.fail(gone(f"{need.module}.{need.name}", need.purpose))
    if isinstance(found, sa.Table):
        has = set(found.columns.keys())
    else:
        has = {*dir(found), *getattr(found, "__annotations__", ())}
    for attribute in need.attributes:
        # `dir` of an enumeration lists no methods.
        assert attribute in has or hasattr(found, attribute), gone(
            f"{need.name}.{attribute}", need.purpose
        )


@pytest.mark.parametrize(("owner", "name"), UNDOCUMENTED, ids=str)
def test_undocumented_attributes_are_there(owner: type, name: str) -> None:
    assert hasattr(owner, name), gone(f"{owner.__name__}.{name}", UNDOCUMENTED[owner, name])


@pytest.mark.parametrize("name", OF_THE_EVENT_LOG)
def test_the_event_log_answers_what_it_is_asked(name: str) -> None:
    storage = type(dg.DagsterInstance.ephemeral().event_log_storage)
    assert hasattr(storage, name), gone(f"{storage.__name__}.{name}", OF_THE_EVENT_LOG[name])


def test_the_code_server_starts_runs_by_the_context_that_is_replaced() -> None:
    from dagster._cli.api import grpc_command
    from dagster._grpc.server import DagsterApiServer

    purpose = "aq_resources.dagster_storage.warm_runs forks runs from a warm process"
    assert grpc_command.callback is not None
    used = grpc_command.callback.__code__.co_names + grpc_command.callback.__code__.co_varnames
    assert DagsterApiServer.__name__ in used, gone("grpc_command's DagsterApiServer", purpose)
    started = DagsterApiServer.StartRun.__code__.co_names
    assert "_mp_ctx" in started, gone("DagsterApiServer._mp_ctx", purpose)


def test_the_daemon_can_be_started_as_a_module() -> None:
    assert find_spec("dagster._daemon.__main__"), gone("dagster._daemon", "`aq up` starts it")


def test_a_deleted_database_can_be_forgotten(tmp_path: Path) -> None:
    """Dagster remembers which databases it has set up, and would not set one up again."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = SqliteEventLogStorage(str(tmp_path))
    known = getattr(storage, "_initialized_dbs", None)
    assert isinstance(known, set), gone(
        "SqliteEventLogStorage._initialized_dbs", "history deletes the database of a run"
    )
    with storage.run_connection("a-run"):
        pass
    assert "a-run" in known


def test_partitions_can_be_given_metadata_of_their_own() -> None:
    from dagster._core.execution.context.system import StepExecutionContext

    assert hasattr(StepExecutionContext, "add_asset_metadata"), gone(
        "StepExecutionContext.add_asset_metadata",
        "io_managers gives each partition metadata of its own",
    )


def test_the_web_server_makes_its_application_by_the_name_that_the_guard_takes() -> None:
    # Its source is read, since the import takes a second.
    web_server = find_spec("dagster_webserver")
    assert web_server is not None and web_server.origin is not None
    tree = ast.parse(Path(web_server.origin).with_name("cli.py").read_text("utf-8"))
    name = "create_app_from_workspace_process_context"
    imported = {
        alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    used = {
        node.id
        for function in tree.body
        if getattr(function, "name", None) == "host_dagster_ui_with_workspace_process_context"
        for node in ast.walk(function)
        if isinstance(node, ast.Name)
    }
    assert name in imported & used, gone(
        f"dagster_webserver.cli.{name}", "aq_platform.webserver puts the guard before it"
    )
